"""Reading ``.keras`` files with JSON and h5py alone: what networks they hold, without making one.

``container`` opens the archive and bounds what is read, ``graph`` puts the layers in order, ``layers`` and ``saved``
make stand-ins of layers and quantizers from their configurations and arrays (``arithmetic`` is what the quantizers
compute), and ``assemble`` turns the steps that ``flow.network.quantized_layers`` reads from them into a Network.
``read`` does it all. Nothing that is in a file is run: no class is imported because a file names it, and there are no
pickles.
"""
