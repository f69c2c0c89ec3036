"""The networks that chapters and labs start from.

Importing them imports no module that holds a lab's answers: `factorkit.layers` is imported when a network needs it.
"""

from factorkit.models.densenets import densenet_cifar, small_densenet
from factorkit.models.mobilenets import mobilenet_v1, mobilenet_v2, small_mobilenet_v1, small_mobilenet_v2
from factorkit.models.nin import double_sparsity_nin, nin, small_double_sparsity_nin, small_nin
from factorkit.models.plain import alexnet, small_convnet, small_vgg, vgg16_cifar
from factorkit.models.resnets import resnet18_cifar, resnet_cifar, small_resnet
from factorkit.models.resnexts import resnext_cifar, small_resnext
from factorkit.models.squeezenets import small_squeezenet, squeezenet

__all__ = [
    "alexnet",
    "densenet_cifar",
    "double_sparsity_nin",
    "mobilenet_v1",
    "mobilenet_v2",
    "nin",
    "resnet18_cifar",
    "resnet_cifar",
    "resnext_cifar",
    "small_convnet",
    "small_densenet",
    "small_double_sparsity_nin",
    "small_mobilenet_v1",
    "small_mobilenet_v2",
    "small_nin",
    "small_resnet",
    "small_resnext",
    "small_squeezenet",
    "small_vgg",
    "squeezenet",
    "vgg16_cifar",
]
