"""Tiny real models, built from their configurations with random weights and saved as
`save_pretrained` saves the large ones.
"""

import json

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    BitImageProcessor,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    HubertConfig,
    HubertModel,
    PreTrainedTokenizerFast,
    ResNetConfig,
    ResNetModel,
    T5Config,
    T5EncoderModel,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
    Wav2Vec2FeatureExtractor,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

WORDS = [
    "a",
    "the",
    "dog",
    "cat",
    "fox",
    "child",
    "red",
    "blue",
    "runs",
    "sits",
    "in",
    "on",
    "under",
    "snow",
    "house",
    "ball",
]


def tokenizer(folder, begin="[CLS]", end="[SEP]", pad="[PAD]", longest=32):
    """One token a word, with a first and a last token as the model's kin have them."""
    special = [token for token in (pad, begin, end, "[UNK]") if token]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys([*special, *WORDS]))}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    template = " ".join(token for token in (begin, "$A", end) if token)
    marks = [(token, vocabulary[token]) for token in (begin, end) if token]
    core.post_processor = processors.TemplateProcessing(single=template, special_tokens=marks)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=pad,
        unk_token="[UNK]",
        eos_token=end,
        model_max_length=longest,
    )
    wrapped.save_pretrained(folder)
    return len(vocabulary)


def dinov2(folder):
    config = Dinov2Config(
        hidden_size=24, num_hidden_layers=3, num_attention_heads=2, image_size=28, patch_size=14
    )
    Dinov2Model(config).save_pretrained(folder)
    BitImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 28, "width": 28}
    ).save_pretrained(folder)
    return folder


def vit(folder, pooler=True):
    config = ViTConfig(
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=16,
    )
    ViTModel(config, add_pooling_layer=pooler).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def resnet(folder):
    ResNetModel(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    ).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def bert(folder):
    size = tokenizer(folder)
    config = BertConfig(
        vocab_size=size,
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def gtr(folder):
    """T5's encoder, mean pooling, a dense layer without bias, normalisation: the layout of
    sentence-transformers/gtr-t5-*.
    """
    size = tokenizer(folder, begin=None, end="</s>", pad="<pad>")
    T5EncoderModel(
        T5Config(vocab_size=size, d_model=24, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    ).save_pretrained(folder)
    kinds = ("Transformer", "Pooling", "Dense", "Normalize")
    modules = [
        {
            "idx": i,
            "name": str(i),
            "path": f"{i}_{kind}" if i else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for i, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(
        json.dumps({"max_seq_length": 24, "do_lower_case": False})
    )
    (folder / "1_Pooling").mkdir()
    modes = {
        "pooling_mode_mean_tokens": True,
        "pooling_mode_cls_token": False,
        "pooling_mode_max_tokens": False,
    }
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 24, **modes})
    )
    dense = folder / "2_Dense"
    dense.mkdir()
    settings = {
        "in_features": 24,
        "out_features": 16,
        "bias": False,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    (dense / "config.json").write_text(json.dumps(settings))
    torch.save({"linear.weight": torch.randn(16, 24)}, dense / "pytorch_model.bin")
    return folder


def clip(folder):
    size = tokenizer(folder, begin="<start>", end="<end>", pad="<end>", longest=16)
    tower = {
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    config = CLIPConfig(
        text_config={**tower, **ids, "vocab_size": size, "max_position_embeddings": 16},
        vision_config={**tower, "image_size": 32, "patch_size": 16},
        projection_dim=12,
    )
    CLIPModel(config).save_pretrained(folder)
    CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(folder)
    return folder


def clap(folder):
    """Text and audio towers; the audio tower is a small HTSAT that sees 10 s at 48 kHz as the
    large ones do.
    """
    size = tokenizer(folder, begin="<s>", end="</s>", pad="<pad>", longest=18)
    text = {
        "vocab_size": size,
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    audio = {
        "hidden_size": 64,
        "patch_embeds_hidden_size": 8,
        "depths": [1, 1, 1, 1],
        "num_attention_heads": [2, 2, 2, 2],
    }
    config = ClapConfig(
        text_config={**text, "max_position_embeddings": 20}, audio_config=audio, projection_dim=12
    )
    ClapModel(config).save_pretrained(folder)
    ClapFeatureExtractor(
        feature_size=64, truncation="rand_trunc", padding="repeatpad"
    ).save_pretrained(folder)
    return folder


def whisper(folder):
    shape = {
        "encoder_layers": 2,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "max_source_positions": 1500,
    }
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1, "decoder_start_token_id": 1}
    small = {
        "vocab_size": 60,
        "d_model": 24,
        "num_mel_bins": 16,
        "decoder_layers": 1,
        "decoder_attention_heads": 2,
    }
    config = WhisperConfig(**small, **shape, **ids)
    WhisperModel(config).save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=16).save_pretrained(folder)
    return folder


def hubert(folder):
    """Convolutions whose norm runs over time, as in hubert-base: padding would change every
    frame.
    """
    config = HubertConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(16, 16),
        conv_kernel=(10, 8),
        conv_stride=(20, 16),
        num_feat_extract_layers=2,
        feat_extract_norm="group",
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
    )
    HubertModel(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False).save_pretrained(folder)
    return folder
