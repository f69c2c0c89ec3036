"""MACs of published networks, exactly, and parameters as their authors count them."""

import pytest
import torch

from factorkit.torchvision_import import import_torchvision
from micronet_resources.profile import profile_model

# Convolutions, linear layers and attention of each network at its own image size, biases not counted.
NETWORKS = {
    "resnet18": (224, 11_689_512, 1_814_073_344),
    "vgg16": (224, 138_357_544, 15_470_264_320),
    "mobilenet_v2": (224, 3_504_872, 300_774_272),
    "squeezenet1_0": (224, 1_248_424, 818_924_576),
    "alexnet": (224, 61_100_840, 714_188_480),
    "resnext50_32x4d": (224, 25_028_904, 4_230_479_872),
    "inception_v3": (299, 27_161_264, 5_713_216_096),
    "vit_b_16": (224, 86_567_656, 17_563_828_224),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_published_networks(name):
    models = import_torchvision().models
    size, params, macs = NETWORKS[name]
    with torch.device("meta"):  # the costs do not depend on values, so none are made
        model = models.get_model(name, weights=None, **({"init_weights": False} if name == "inception_v3" else {}))
    profile = profile_model(model, (3, size, size))
    assert (profile.params, profile.macs) == (params, macs)
    assert profile.notes == ()


def test_the_auxiliary_head_is_stored_and_not_run():
    models = import_torchvision().models
    with torch.device("meta"):
        model = models.inception_v3(weights=None, init_weights=False)
    profile = profile_model(model, (3, 299, 299))
    head = [layer for layer in profile.layers if layer.name.startswith("AuxLogits")]
    assert sum(layer.params for layer in head) == 27_161_264 - 23_834_568
    assert all(layer.output_shape is None and layer.macs == 0 for layer in head)
