# An FPGA without a processor: Verilog, pins and a bitstream. All in one process, without a project on disk.

proc flow::build_fabric {here design} {
    set stem [dict get $design stem]
    set out [file join $here board]
    set reports [file join $here reports]
    foreach suffix {bit bin} { file delete -force [file join $out $stem.$suffix] }
    file delete -force $reports
    file mkdir $reports
    set part [dict get $design part]
    set sources [flow::files $here [dict get $design sources]]
    set memories [flow::files $here [dict get $design memories]]
    set constraints [flow::files $here [dict get $design constraints]]
    flow::need_part $part
    create_project -in_memory -part $part
    read_verilog $sources
    if {[llength $memories]} { read_mem $memories }
    read_xdc $constraints
    synth_design -top [dict get $design top] -part $part
    opt_design
    place_design
    phys_opt_design
    route_design
    lassign [flow::timing_gate $reports] setup hold
    file mkdir $out
    write_bitstream -force -bin_file [file join $out $stem.bit]
    flow::write_result [file join $reports result.json] [dict create \
        plan [flow::read_line [file join $here plan.digest]] vivado [flow::release] board_part "" \
        clock_mhz [dict get $design clock_mhz] setup_slack_ns $setup hold_slack_ns $hold]
    flow::note "done: $stem.bit is in $out"
}
