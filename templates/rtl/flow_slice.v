// Register slice: breaks every combinational path between its sides, ready included, at full throughput.
//
// Two entries: what arrives in the cycle in which the output stalls waits in the second. Latency 1 cycle.
`default_nettype none
module flow_slice #(
    parameter integer WIDTH = 8 // bits of a beat
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
    reg             waiting;
    reg [WIDTH-1:0] waiting_data;

    assign in_ready = !waiting;

    always @(posedge clk) begin
        if (rst) begin
            out_valid <= 1'b0;
            waiting   <= 1'b0;
        end else if (out_ready || !out_valid) begin
            out_valid <= waiting || in_valid;
            waiting   <= 1'b0;
        end else if (in_valid && !waiting) begin
            waiting <= 1'b1;
        end
    end

    always @(posedge clk) begin
        if (out_ready || !out_valid) out_data <= waiting ? waiting_data : in_data;
        if (!waiting) waiting_data <= in_data;
    end
endmodule
`default_nettype wire
