# Packages the accelerator as a kernel (.xo) for v++: a stream kernel that runs by itself, without control registers.

proc flow::build_xo {here design} {
    set xo [file join $here work flow_accelerator.xo]
    file mkdir [file dirname $xo]
    file delete -force $xo
    set sources [flow::files $here [dict get $design sources]]
    set memories [flow::files $here [dict get $design memories]]
    flow::need_part [dict get $design part]
    set ip [flow::package_ip $here [dict get $design top] [dict get $design part] $sources $memories 1]
    package_xo -xo_path $xo -kernel_name [dict get $design top] -ip_directory $ip -ctrl_protocol ap_ctrl_none
    if {![file exists $xo]} { flow::fail package "package_xo wrote no $xo" }
    flow::note "done: $xo"
}
