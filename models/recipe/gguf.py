"""GGUF (version 3): writes Llamas in float32, float16 or Q8_0 with their vocabulary, and reads what it wrote."""

import hashlib
import os
import struct

import numpy as np
import torch

import model as llama
import settings as s
from bpe import Tokenizer

ALIGNMENT = 32
UINT32, FLOAT32, BOOL, STRING, ARRAY = 4, 6, 7, 8, 9
INT32 = 5
F32, F16, Q8_0 = 0, 1, 8
FORMS = {UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}
PACKED = np.dtype([("scale", "<f2"), ("values", "i1", 32)])
FILE_TYPES = {"f32": 0, "f16": 1, "q8_0": 7}

CHAT_TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ m['content'] }}\n"
    "{% elif m['role'] == 'user' %}Question: {{ m['content'] }}\nAnswer:"
    "{% elif m['role'] == 'assistant' %} {{ m['content'] }}\n{% endif %}{% endfor %}"
)


def text(value):
    data = value.encode("utf-8")
    return struct.pack("<Q", len(data)) + data


def scalar(kind, value):
    if kind == STRING:
        return text(value)
    return struct.pack(FORMS[kind], value)


def pair(key, kind, value):
    return text(key) + struct.pack("<I", kind) + scalar(kind, value)


def array(key, kind, values):
    head = text(key) + struct.pack("<IIQ", ARRAY, kind, len(values))
    return head + b"".join(scalar(kind, value) for value in values)


def metadata(name, shape, tokenizer, kind):
    a = "llama."
    return [
        pair("general.architecture", STRING, "llama"),
        pair("general.name", STRING, name),
        pair("general.file_type", UINT32, FILE_TYPES[kind]),
        pair(a + "context_length", UINT32, s.CONTEXT),
        pair(a + "embedding_length", UINT32, shape.width),
        pair(a + "block_count", UINT32, shape.layers),
        pair(a + "feed_forward_length", UINT32, shape.hidden),
        pair(a + "attention.head_count", UINT32, shape.heads),
        pair(a + "attention.head_count_kv", UINT32, shape.heads),
        pair(a + "attention.layer_norm_rms_epsilon", FLOAT32, llama.EPSILON),
        pair(a + "rope.dimension_count", UINT32, shape.width // shape.heads),
        pair(a + "rope.freq_base", FLOAT32, llama.ROTARY_BASE),
        pair(a + "vocab_size", UINT32, len(tokenizer.tokens)),
        pair("tokenizer.ggml.model", STRING, "gpt2"),
        pair("tokenizer.ggml.pre", STRING, tokenizer.pre),
        array("tokenizer.ggml.tokens", STRING, tokenizer.tokens),
        array("tokenizer.ggml.token_type", INT32, [3 if i < 2 else 1 for i in range(len(tokenizer.tokens))]),
        array("tokenizer.ggml.merges", STRING, [" ".join(merge) for merge in tokenizer.merges]),
        pair("tokenizer.ggml.bos_token_id", UINT32, tokenizer.bos),
        pair("tokenizer.ggml.eos_token_id", UINT32, tokenizer.eos),
        pair("tokenizer.ggml.add_bos_token", BOOL, True),
        pair("tokenizer.ggml.add_eos_token", BOOL, False),
        pair("tokenizer.chat_template", STRING, CHAT_TEMPLATE),
    ]


def quantise(values):
    """Q8_0: blocks of 32 along the row, a float16 scale and 32 signed bytes each."""
    blocks = values.reshape(-1, 32).astype(np.float32)
    scales = np.abs(blocks).max(axis=1, keepdims=True) / 127
    inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales > 0)
    packed = np.empty(len(blocks), dtype=PACKED)
    packed["scale"], packed["values"] = scales[:, 0], np.rint(blocks * inverse)
    return packed.tobytes()


def tensors(model, kind):
    """(name, dimensions innermost first, type, bytes) of every weight."""
    for name, weight in model.state_dict().items():
        values = weight.detach().numpy()
        if values.ndim == 1 or kind == "f32":
            yield name, values.shape[::-1], F32, values.astype("<f4").tobytes()
        elif kind == "q8_0":
            yield name, values.shape[::-1], Q8_0, quantise(values)
        else:
            yield name, values.shape[::-1], F16, values.astype("<f2").tobytes()


def padded(data):
    return data + bytes(-len(data) % ALIGNMENT)


def write_gguf(path, name, model, tokenizer, kind="f16"):
    """Writes the file and returns its size and sha256."""
    pairs, infos, data = metadata(name, model.shape, tokenizer, kind), [], b""
    for tensor, dimensions, number, values in tensors(model, kind):
        sizes = struct.pack(f"<{len(dimensions)}Q", *dimensions)
        infos.append(text(tensor) + struct.pack("<I", len(dimensions)) + sizes + struct.pack("<IQ", number, len(data)))
        data += padded(values)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(pairs)) + b"".join(pairs) + b"".join(infos)
    content = padded(head) + data
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    beside.write_bytes(content)
    os.replace(beside, path)
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


class Source:
    """Bytes of a file, read one after the other."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return values if len(values) > 1 else values[0]

    def text(self):
        length = self.take("<Q")
        self.at += length
        return self.data[self.at - length : self.at].decode("utf-8")

    def value(self, kind):
        if kind == ARRAY:
            kind, count = self.take("<IQ")
            return [self.value(kind) for _ in range(count)]
        return self.text() if kind == STRING else self.take(FORMS[kind])


def unpacked(data, at, shape, number):
    """The float32 weight at `at`."""
    count = int(np.prod(shape))
    if number == Q8_0:
        packed = np.frombuffer(data, PACKED, count // 32, at)
        values = packed["scale"].astype(np.float32)[:, None] * packed["values"]
    else:
        values = np.frombuffer(data, {F32: "<f4", F16: "<f2"}[number], count, at).astype(np.float32)
    return torch.from_numpy(values.reshape(shape).copy())


def read_gguf(path):
    """(model, tokenizer) of a file of this writer."""
    source = Source(path.read_bytes())
    if source.take("<4sI") != (b"GGUF", 3):
        raise ValueError(f"{path} is no GGUF file of version 3.")
    tensors, pairs = source.take("<QQ")
    known = {}
    for _ in range(pairs):
        key = source.text()
        known[key] = source.value(source.take("<I"))
    infos = []
    for _ in range(tensors):
        name, rank = source.text(), source.take("<I")
        shape = tuple(source.take("<Q") for _ in range(rank))[::-1]
        infos.append((name, shape, *source.take("<IQ")))
    start = source.at + -source.at % ALIGNMENT
    of = {key: known[f"llama.{key}"] for key in ("embedding_length", "block_count", "attention.head_count", "feed_forward_length")}
    model = llama.Llama(s.Shape(*of.values()), known["llama.vocab_size"])
    model.load_state_dict({name: unpacked(source.data, start + at, shape, number) for name, shape, number, at in infos})
    tokenizer = Tokenizer([merge.split(" ") for merge in known["tokenizer.ggml.merges"]], known["tokenizer.ggml.pre"])
    if tokenizer.tokens != known["tokenizer.ggml.tokens"]:
        raise ValueError(f"{path} has tokens of another vocabulary.")
    return model.eval(), tokenizer
