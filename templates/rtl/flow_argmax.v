// Index of the largest of COUNT values that come one a cycle; of equal ones the first.
`default_nettype none
module flow_argmax #(
    parameter integer BITS = 8,
    parameter integer SIGNED = 1,
    parameter integer COUNT = 10,
    parameter integer INDEX_BITS = 4
) (
    input  wire                  clk,
    input  wire                  rst,
    input  wire                  in_valid,
    output wire                  in_ready,
    input  wire [BITS-1:0]       in_data,
    output wire                  out_valid,
    input  wire                  out_ready,
    output wire [INDEX_BITS-1:0] out_data
);
    // Waived: the constant is 32 bits wide and fits the register it is for by that register's definition.
    // verilator lint_off WIDTHTRUNC
    localparam [INDEX_BITS-1:0] LAST = COUNT - 1;
    // verilator lint_on WIDTHTRUNC

    reg                  full;
    reg [BITS-1:0]       largest;
    reg [INDEX_BITS-1:0] index, at; // of the largest so far, and of the value that comes
    wire first = at == 0;
    wire last = at == LAST;
    wire taken = in_valid && in_ready;
    // A sign bit that is turned around makes signed values comparable as unsigned ones.
    wire [BITS-1:0] turned = SIGNED != 0 ? in_data ^ {1'b1, {BITS - 1{1'b0}}} : in_data;

    assign in_ready = !full || out_ready;
    assign out_valid = full;
    assign out_data = index;

    always @(posedge clk) begin
        if (rst) begin
            full <= 1'b0;
            at <= 0;
        end else if (in_ready) begin
            full <= taken && last;
            if (taken) at <= last ? {INDEX_BITS{1'b0}} : at + 1'b1;
        end
    end

    always @(posedge clk) begin
        if (taken && (first || turned > largest)) begin
            largest <= turned;
            index <= at;
        end
    end
endmodule
`default_nettype wire
