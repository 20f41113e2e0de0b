// Width converter: RATIO beats in, one beat of RATIO parts out, the first beat in the lowest part.
//
// Accepts a beat every cycle as long as the output is taken in time. Latency 1 cycle after the last part.
`default_nettype none
module flow_widen #(
    parameter integer WIDTH = 8, // bits of an input beat
    parameter integer RATIO = 2  // input beats an output beat, at least 2
) (
    input  wire                   clk,
    input  wire                   rst,
    input  wire                   in_valid,
    output wire                   in_ready,
    input  wire [WIDTH-1:0]       in_data,
    output reg                    out_valid,
    input  wire                   out_ready,
    output reg  [WIDTH*RATIO-1:0] out_data
);
    localparam integer CW = $clog2(RATIO);
    // Waived: the constant is 32 bits wide and fits the counter by CW's definition.
    // verilator lint_off WIDTHTRUNC
    localparam [CW-1:0] LAST = RATIO - 1;
    // verilator lint_on WIDTHTRUNC

    reg [CW-1:0] count; // parts already there

    assign in_ready = !out_valid || out_ready;

    always @(posedge clk) begin
        if (rst) begin
            count     <= 0;
            out_valid <= 1'b0;
        end else if (in_ready) begin
            out_valid <= in_valid && count == LAST;
            if (in_valid) count <= count == LAST ? {CW{1'b0}} : count + 1'b1;
        end
    end

    always @(posedge clk) begin
        if (in_valid && in_ready) out_data <= {in_data, out_data[WIDTH*RATIO-1:WIDTH]};
    end
endmodule
`default_nettype wire
