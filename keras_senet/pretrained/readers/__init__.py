"""One file for each format of published weights."""
