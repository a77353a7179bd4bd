"""The built-in encoder of each modality, as parameters name it."""

from csa.encoders.registry import first_encoder
from csa.modalities.registry import MODALITIES

ENCODERS = {name: "precomputed" if name == "array" else first_encoder(name) for name in MODALITIES}
