"""A network for the handwritten digits, written and trained in QKeras as anyone would: digits.keras.

    .venv/bin/python examples/digits.py [FILE]

docs/example-rtl.md goes on from there, to hardware that is simulated, synthesized, placed and routed.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from qkeras import QActivation, QConv2D, QDense, quantized_bits, quantized_relu

from flow.network.datasets import load_dataset

EPOCHS = 60


def model_of() -> keras.Model:
    """8x8x1 images of 5 bits; weights of 4 bits, activations of 3."""
    weights = {"kernel_quantizer": quantized_bits(4, 0, alpha=1), "bias_quantizer": quantized_bits(8, 2, alpha=1)}
    return keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            QConv2D(8, 3, padding="same", name="conv1", **weights),
            QActivation(quantized_relu(3, 1), name="relu1"),
            QConv2D(16, 3, padding="same", name="conv2", **weights),
            QActivation(quantized_relu(3, 1), name="relu2"),
            keras.layers.MaxPooling2D(2, name="pool"),
            keras.layers.Flatten(name="flat"),
            QDense(10, name="scores", **weights),
        ]
    )


def main() -> None:
    """Train, print the accuracy on the test samples and save the model."""
    path = sys.argv[1] if len(sys.argv) > 1 else "digits.keras"
    data = load_dataset("digits")
    keras.utils.set_random_seed(0)
    model = model_of()
    schedule = keras.optimizers.schedules.CosineDecay(4e-3, EPOCHS * -(-len(data.x_train) // 32))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(schedule), loss, metrics=["accuracy"])
    model.fit(data.x_train, data.y_train, batch_size=32, epochs=EPOCHS, verbose=0)
    for name, x, y in (("validation", data.x_val, data.y_val), ("test", data.x_test, data.y_test)):
        print(f"{name} accuracy {model.evaluate(x, y, verbose=0)[1]:.4f} on {len(x)} samples")
    model.save(path)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
