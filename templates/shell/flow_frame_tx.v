// Writes frames as flow_frame_rx reads them: flags around them, escapes within, the checksum at their end.
//
// The bytes of a frame come one after the other, the last one marked; out_* go to the transmitter.
`default_nettype none
module flow_frame_tx (
    input  wire       clk,
    input  wire       rst,
    input  wire       in_valid,
    output wire       in_ready,
    input  wire       in_last,
    input  wire [7:0] in_data,
    output wire       out_valid,
    input  wire       out_ready,
    output wire [7:0] out_data
);
    localparam [2:0] OPEN = 3'd0, CONTENT = 3'd1, HIGH = 3'd2, LOW = 3'd3, CLOSE = 3'd4;
    reg [2:0] state;
    reg escaped; // the escape of the byte at hand has been sent
    reg [15:0] crc;

    // As in flow_frame_rx.
    function [15:0] next_crc(input [15:0] old, input [7:0] value);
        integer i;
        begin
            next_crc = old ^ {value, 8'h00};
            for (i = 0; i < 8; i = i + 1)
                next_crc = next_crc[15] ? {next_crc[14:0], 1'b0} ^ 16'h1021 : {next_crc[14:0], 1'b0};
        end
    endfunction

    wire raw = state == OPEN || state == CLOSE;
    wire [7:0] content = state == HIGH ? crc[15:8] : state == LOW ? crc[7:0] : in_data;
    wire special = content == 8'h7e || content == 8'h7d;
    wire there = state != OPEN && state != CONTENT ? 1'b1 : in_valid;
    wire escape = !raw && special && !escaped;
    wire done = out_valid && out_ready && !escape;

    assign out_valid = there;
    assign out_data = raw ? 8'h7e : escape ? 8'h7d : special ? content ^ 8'h20 : content;
    assign in_ready = state == CONTENT && out_ready && !escape;

    always @(posedge clk) begin
        if (rst) begin
            state   <= OPEN;
            escaped <= 1'b0;
        end else if (out_valid && out_ready) begin
            escaped <= escape;
            if (done)
                case (state)
                    OPEN: begin
                        state <= CONTENT;
                        crc   <= 16'hffff;
                    end
                    CONTENT: begin
                        if (in_last) state <= HIGH;
                        crc <= next_crc(crc, in_data);
                    end
                    HIGH: state <= LOW;
                    LOW: state <= CLOSE;
                    default: state <= OPEN;
                endcase
        end
    end
endmodule
`default_nettype wire
