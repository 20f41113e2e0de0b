"""From a trained network to what runs on a board: build plans by board family, vendor tools, the result folder.

`subject` says what is to be built, `accelerator_rtl` and `accelerator_hls` make the accelerator, `families` knows
which shell a board gets, `make` does it all. `host` is the program on the board's side.
"""
