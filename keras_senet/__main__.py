"""`python -m keras_senet` is the command keras-senet."""

from keras_senet_command import main

if __name__ == "__main__":
    main()
