"""SE-ResNets for 32 x 32 images: three stages of basic blocks, after He et al., arXiv 1512.03385, section 4.2."""

from keras_senet.models.constructor import constructor
from keras_senet.models.resnet import ResNet, features


def _network(depth: int):
    architecture = ResNet(
        depths=((depth - 2) // 6,) * 3,
        bottleneck=False,
        widths=(16, 32, 64),
        projection="padded",
        stem_kernel_size=3,
        stem_widths=(16,),
        stem_downsamples=False,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        classes=10,
        input_size=32,
        min_size=8,
    )
    return constructor(f"SEResNet{depth}", architecture, features, f"SE-ResNet-{depth} for images of CIFAR's size.")


SEResNet20, SEResNet32, SEResNet44, SEResNet56, SEResNet110 = (_network(depth) for depth in (20, 32, 44, 56, 110))
