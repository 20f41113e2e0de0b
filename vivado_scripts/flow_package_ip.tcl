# Packages the accelerator's Verilog as an IP with two AXI-Stream ports. Interfaces, clock and reset are named in
# attributes of the top module, so that every release infers the same.

# Returns the folder of the IP. top: its module; sources and memories: Verilog, and the contents of its ROMs; kernel: 1
# if v++ is to link it.
proc flow::package_ip {here top part sources memories {kernel 0}} {
    set ip [file join $here work ip $top]
    file delete -force $ip
    create_project -force -part $part package_$top [file join $here work package_$top]
    add_files -norecurse [concat $sources $memories]
    set_property top $top [current_fileset]
    update_compile_order -fileset sources_1
    ipx::package_project -root_dir $ip -vendor flow -library user -taxonomy /UserIP -import_files -force
    set core [ipx::current_core]
    set_property name $top $core
    set_property version 1.0 $core
    set_property display_name "Neural network accelerator" $core
    foreach bus {s_axis m_axis} {
        if {![llength [ipx::get_bus_interfaces $bus -of_objects $core]]} {
            flow::fail package "the packager did not find the interface $bus of $top"
        }
        ipx::associate_bus_interfaces -busif $bus -clock ap_clk $core
    }
    if {$kernel} {
        set_property sdx_kernel true $core
        set_property sdx_kernel_type rtl $core
        set_property vitis_drc {ctrl_protocol ap_ctrl_none} $core
        set_property ipi_drc {ignore_freq_hz true} $core
    }
    ipx::update_checksums $core
    if {![ipx::check_integrity -quiet $core]} { flow::fail package "the IP $top is not consistent" }
    ipx::save_core $core
    close_project
    return $ip
}
