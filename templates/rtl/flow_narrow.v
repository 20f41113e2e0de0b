// Width converter: one beat of RATIO parts in, RATIO beats out, the lowest part first.
//
// Accepts the next beat in the cycle in which the last part leaves: an output beat every cycle. Latency 1 cycle.
`default_nettype none
module flow_narrow #(
    parameter integer WIDTH = 8, // bits of an output beat
    parameter integer RATIO = 2  // output beats an input beat, at least 2
) (
    input  wire                   clk,
    input  wire                   rst,
    input  wire                   in_valid,
    output wire                   in_ready,
    input  wire [WIDTH*RATIO-1:0] in_data,
    output wire                   out_valid,
    input  wire                   out_ready,
    output wire [WIDTH-1:0]       out_data
);
    localparam integer CW = $clog2(RATIO + 1);
    // Waived: the constant is 32 bits wide and fits the counter by CW's definition.
    // verilator lint_off WIDTHTRUNC
    localparam [CW-1:0] ALL = RATIO;
    localparam [CW-1:0] TWO = 2;
    // verilator lint_on WIDTHTRUNC

    reg [WIDTH*RATIO-1:0] parts;
    reg [CW-1:0]          left; // parts not yet taken
    reg                   some; // left != 0, and
    reg                   one;  // left == 1: ready goes on to what is before without a comparison

    assign out_valid = some;
    assign out_data  = parts[WIDTH-1:0];
    assign in_ready  = !some || (one && out_ready);

    always @(posedge clk) begin
        if (rst) begin
            left <= 0;
            some <= 1'b0;
            one  <= 1'b0;
        end else if (in_ready) begin
            left <= in_valid ? ALL : {CW{1'b0}};
            some <= in_valid;
            one  <= 1'b0;
        end else if (out_ready) begin
            left <= left - 1'b1;
            one  <= left == TWO;
        end
    end

    always @(posedge clk) begin
        if (in_ready) parts <= in_data;
        else if (out_ready) parts <= {{WIDTH{1'b0}}, parts[WIDTH*RATIO-1:WIDTH]};
    end
endmodule
`default_nettype wire
