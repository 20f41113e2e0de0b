"""The bridge from QKeras and Keras models to hls4ml.

``load`` opens a user's model file safely, ``check`` names what can't be converted before anything is written,
``handlers`` teach hls4ml 1.3 the layers it lacks, ``kernels`` add the activations it computes inexactly. Nothing is
imported here: hls4ml and TensorFlow stay out of the way of what does not need them.
"""
