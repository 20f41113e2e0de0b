// FIFO of DEPTH beats with a registered output; DEPTH need not be a power of two.
//
// The output register is one more entry, so DEPTH + 1 beats fit in all. Latency 2 cycles, full throughput.
// RAM_STYLE: "distributed", "block" or "auto", for the synthesizer.
`default_nettype none
module flow_fifo #(
    parameter integer WIDTH = 8,
    parameter integer DEPTH = 16,
    // Waived: only the synthesizer reads it, as an attribute.
    // verilator lint_off UNUSEDPARAM
    parameter RAM_STYLE = "auto"
    // verilator lint_on UNUSEDPARAM
) (
    input  wire             clk,
    input  wire             rst,
    input  wire             in_valid,
    output wire             in_ready,
    input  wire [WIDTH-1:0] in_data,
    output reg              out_valid,
    input  wire             out_ready,
    output reg  [WIDTH-1:0] out_data
);
    localparam integer AW = DEPTH > 1 ? $clog2(DEPTH) : 1;
    localparam integer LW = $clog2(DEPTH + 1);
    // Waived: constants are 32 bits wide and known to fit.
    // verilator lint_off WIDTHTRUNC
    localparam [AW-1:0] LAST = DEPTH - 1;
    localparam [LW-1:0] FULL = DEPTH;
    // verilator lint_on WIDTHTRUNC

    (* ram_style = RAM_STYLE *) reg [WIDTH-1:0] memory[0:DEPTH-1];
    reg [AW-1:0] write_address, read_address;
    reg [LW-1:0] level;

    wire write = in_valid && in_ready;
    wire read = (level != 0) && (out_ready || !out_valid);

    assign in_ready = level != FULL;

    always @(posedge clk) begin
        if (rst) begin
            write_address <= 0;
            read_address  <= 0;
            level         <= 0;
            out_valid     <= 1'b0;
        end else begin
            if (write) write_address <= write_address == LAST ? {AW{1'b0}} : write_address + 1'b1;
            if (read) read_address <= read_address == LAST ? {AW{1'b0}} : read_address + 1'b1;
            if (write && !read) level <= level + 1'b1;
            if (read && !write) level <= level - 1'b1;
            if (read) out_valid <= 1'b1;
            else if (out_ready) out_valid <= 1'b0;
        end
    end

    always @(posedge clk) begin
        if (write) memory[write_address] <= in_data;
        if (read) out_data <= memory[read_address];
    end
endmodule
`default_nettype wire
