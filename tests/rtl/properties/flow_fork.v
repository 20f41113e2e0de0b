`include "common.vh"
    // Every output: the handshake's rule, and each beat of the input exactly once.
    wire [OUTPUTS-1:0] f_out = out_valid & out_ready & {OUTPUTS{!rst}};
    reg [OUTPUTS-1:0] f_held = 0;
    reg [WIDTH-1:0] f_hold;
    reg [OUTPUTS-1:0] f_given; // outputs that have had the beat that is now offered
    always @(posedge clk) begin
        f_held <= out_valid & ~out_ready & {OUTPUTS{!rst}};
        f_hold <= out_data;
        f_given <= rst || f_in ? 0 : f_given | f_out;
    end
    always @(*) if (started) begin
        assert ((f_held & ~out_valid) == 0);
        if (f_held != 0) assert (out_data == f_hold);
        assert ((f_given & f_out) == 0);                      // never twice
        if (f_in) assert ((f_given | f_out) == {OUTPUTS{1'b1}}); // to all before it is taken
        if (f_out != 0) assert (out_data == in_data);
        assert (f_given == taken);
        if (f_given != 0) assert (in_valid);
        // No deadlock: an output that has not had the beat is offered it, whatever the others do.
        if (in_valid) assert ((out_valid | f_given) == {OUTPUTS{1'b1}});
        if (in_valid && &(out_ready | f_given)) assert (in_ready);
    end
