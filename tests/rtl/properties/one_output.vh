    // ... and on the output proved.
    wire f_out = out_valid && out_ready && !rst;
    reg f_held = 1'b0;
    reg [$bits(out_data)-1:0] f_hold;
    always @(posedge clk) begin
        f_held <= out_valid && !out_ready && !rst;
        f_hold <= out_data;
    end
    always @(*) if (f_held) assert (out_valid && out_data == f_hold);
