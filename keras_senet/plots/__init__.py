"""Every picture that the package draws, one file for each subject."""
