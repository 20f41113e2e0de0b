`include "common.vh"
`include "one_output.vh"
    reg [1:0] f_inside;
    always @(posedge clk) f_inside <= rst ? 0 : f_inside + f_in - f_out;
    always @(*) if (started) assert (f_inside == out_valid + waiting);
    always @(*) if (started && waiting) assert (out_valid);

    (* anyseq *) reg f_choose;
    reg f_tracked;
    reg [1:0] f_before;
    reg [WIDTH-1:0] f_value;
    always @(posedge clk) begin
        if (rst) f_tracked <= 1'b0;
        else if (f_tracked) begin
            if (f_out && f_before == 0) f_tracked <= 1'b0;
            if (f_out) f_before <= f_before - 1'b1;
        end else if (f_in && f_choose) begin
            f_tracked <= 1'b1;
            f_before <= f_inside - f_out;
            f_value <= in_data;
        end
    end
    always @(*) if (started && f_tracked) begin
        assert (f_before < f_inside);
        assert (f_value == (f_before == 0 ? out_data : waiting_data));
    end

    // No deadlock: with nothing waiting it takes a beat, and what is inside is offered at once.
    always @(*) if (started) assert (in_ready == (f_inside != 2) && out_valid == (f_inside != 0));
