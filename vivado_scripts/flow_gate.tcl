# The timing gate: reports of the routed design that is open, and no way on unless every constraint is met.

# The worst path of one kind as "SLACK from START to END, ..."; ends the build if nothing is constrained.
proc flow::worst {kind option} {
    set path [lindex [get_timing_paths -quiet -max_paths 1 -nworst 1 $option] 0]
    set slack [expr {$path eq "" ? "" : [get_property SLACK $path]}]
    if {$slack eq ""} {
        flow::fail timing "no path has a $kind constraint: the clock is not constrained, so timing is unknown"
    }
    set from [get_property STARTPOINT_PIN $path]
    set to [get_property ENDPOINT_PIN $path]
    set clock [get_property ENDPOINT_CLOCK $path]
    set levels [get_property LOGIC_LEVELS $path]
    return [dict create kind $kind slack $slack from $from to $to clock $clock levels $levels]
}

# Writes the reports to a folder and returns the worst slacks in ns. A missed constraint ends the build.
proc flow::timing_gate {folder} {
    file mkdir $folder
    report_utilization -file [file join $folder utilization.rpt]
    report_utilization -hierarchical -file [file join $folder utilization_hierarchical.rpt]
    report_timing_summary -file [file join $folder timing.rpt]
    report_timing -max_paths 10 -file [file join $folder worst_paths.rpt]
    report_route_status -file [file join $folder route_status.rpt]
    report_power -file [file join $folder power.rpt]
    set setup [flow::worst setup -setup]
    set hold [flow::worst hold -hold]
    set missed {}
    foreach path [list $setup $hold] {
        if {[dict get $path slack] < 0} { lappend missed $path }
    }
    set file [open [file join $folder timing.rpt] r]
    set met [regexp {All user specified timing constraints are met} [read $file]]
    close $file
    set verdict [open [file join $folder worst_paths.txt] w]
    foreach path [list $setup $hold] { puts $verdict $path }
    close $verdict
    if {[llength $missed]} {
        set path [lindex $missed 0]
        set by [format %.3f [expr {-[dict get $path slack]}]]
        flow::fail timing "[dict get $path kind] missed by $by ns from [dict get $path from] to [dict get $path to]\
            ([dict get $path levels] levels of logic, clock [dict get $path clock]): no bitstream is handed over"
    }
    if {!$met} {
        flow::fail timing "timing.rpt does not say that all constraints are met: no bitstream is handed over"
    }
    return [list [dict get $setup slack] [dict get $hold slack]]
}
