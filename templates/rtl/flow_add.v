// An adder on a carry chain of its own. Synthesizers that would merge neighbouring adders into a compressor tree can be
// told to leave this module whole until they have mapped it.
`default_nettype none
module flow_add #(
    parameter integer BITS = 8
) (
    input  wire [BITS-1:0] a, // goes straight into the carry chain
    input  wire [BITS-1:0] b, // may have logic before it in the same LUTs
    output wire [BITS-1:0] sum
);
    assign sum = a + b;
endmodule
`default_nettype wire
