# What all builds share: messages that flow reads back, projects with or without board files, reports, what is handed
# over. For Vivado 2019.2 to 2025.x. A failure prints one line "ERROR: [flow-KIND] ..." and ends with status 1.

namespace eval flow {
    variable warnings {}
}

proc flow::fail {kind message} {
    puts "ERROR: \[flow-$kind\] $message"
    flush stdout
    exit 1
}

proc flow::warn {kind message} {
    lappend flow::warnings "$kind: $message"
    puts "WARNING: \[flow-$kind\] $message"
    flush stdout
}

proc flow::note {message} {
    puts "INFO: \[flow\] $message"
    flush stdout
}

# The files of a list below a folder; a missing one ends the build before anything is started.
proc flow::files {here names} {
    set found {}
    foreach name $names {
        set path [file join $here $name]
        if {![file exists $path]} { flow::fail files "$path is missing: copy the whole folder" }
        lappend found $path
    }
    return $found
}

proc flow::release {} {
    return [version -short]
}

# Vivado 2021.1 and later come with few board files. Folders with more: FLOW_BOARD_FILES (separated by colons), and
# board_files/ beside build.tcl. They must be known before the first create_project, for whatever that project is.
proc flow::board_files {here} {
    set folders {}
    if {[info exists ::env(FLOW_BOARD_FILES)]} {
        foreach folder [split $::env(FLOW_BOARD_FILES) ":"] { if {$folder ne ""} { lappend folders $folder } }
    }
    if {[file isdirectory [file join $here board_files]]} { lappend folders [file join $here board_files] }
    foreach folder $folders {
        if {![file isdirectory $folder]} { flow::fail files "FLOW_BOARD_FILES names $folder, which is no folder" }
    }
    if {[llength $folders]} { set_param board.repoPaths $folders }
}

# The board part to use: the one asked for, else another version of it, else "".
proc flow::board_part {wanted} {
    if {$wanted eq ""} { return "" }
    if {[llength [get_board_parts -quiet $wanted]]} { return $wanted }
    set any [join [lreplace [split $wanted ":"] 3 3 "*"] ":"]
    set others [lsort -dictionary [get_board_parts -quiet $any]]
    if {[llength $others]} {
        set other [lindex $others end]
        flow::warn board "board part $wanted is not installed, using $other"
        return $other
    }
    return ""
}

proc flow::need_part {part} {
    if {![llength [get_parts -quiet $part]]} {
        flow::fail part "part $part is not installed in Vivado [flow::release]: add its device family with the installer"
    }
}

# Creates the project in a folder of its own, after flow::board_files; returns the board part in use, or "" for the bare
# part.
proc flow::new_project {here name part wanted} {
    create_project -force -part $part $name [file join $here work $name]
    set board [flow::board_part $wanted]
    if {$board ne ""} {
        set_property board_part $board [current_project]
    } elseif {$wanted ne ""} {
        flow::warn board "board files of $wanted are not installed: building for the bare part $part"
    }
    return $board
}

# The newest version of one of AMD's IPs that this release has, as vendor:library:name:version.
proc flow::ip {name} {
    set found [lsort -dictionary [get_ipdefs -all -quiet "xilinx.com:ip:$name:*"]]
    if {![llength $found]} { flow::fail ip "Vivado [flow::release] has no IP $name for this part" }
    return [lindex $found end]
}

# Ends the build if a run failed, with the errors its own log has.
proc flow::check_run {run} {
    set progress [get_property PROGRESS [get_runs $run]]
    if {$progress eq "100%"} { return }
    set log [file join [get_property DIRECTORY [get_runs $run]] runme.log]
    if {[file exists $log]} {
        set file [open $log r]
        set lines [split [read $file] "\n"]
        close $file
        set shown 0
        foreach line $lines {
            if {$shown < 40 && [regexp -nocase {^(ERROR|FATAL|CRITICAL WARNING.*(licen|route|timing)|.*(terminat|killed|bad_alloc|no space left))} $line]} {
                puts $line
                incr shown
            }
        }
    }
    flow::fail run "$run stopped at $progress ([get_property STATUS [get_runs $run]]); its log: $log"
}

proc flow::run_to_route {jobs} {
    foreach run {synth_1 impl_1} {
        flow::note "running $run"
        launch_runs $run -jobs $jobs
        # Newer releases raise an error here if the run fails; its log says more.
        catch { wait_on_run $run }
        flow::check_run $run
    }
    open_run impl_1
}

# One worker for each two cores' worth of memory would be safer still; Vivado itself uses up to 8 threads.
proc flow::jobs {} {
    if {[info exists ::env(FLOW_JOBS)] && [string is integer -strict $::env(FLOW_JOBS)]} { return $::env(FLOW_JOBS) }
    return 2
}

# Writes what flow reads back when all is done: last of all, so that it stands for a complete build.
proc flow::write_result {path values} {
    set items {}
    dict for {name value} $values {
        lappend items "\"$name\": \"[string map {\\ \\\\ \" \\\" \n { }} $value]\""
    }
    set warnings {}
    foreach warning $flow::warnings { lappend warnings "\"[string map {\\ \\\\ \" \\\" \n { }} $warning]\"" }
    lappend items "\"warnings\": \[[join $warnings {, }]\]"
    set file [open $path.new w]
    puts $file "{\n [join $items ",\n "]\n}"
    close $file
    file rename -force $path.new $path
}

proc flow::read_line {path} {
    set file [open $path r]
    set line [string trim [gets $file]]
    close $file
    return $line
}
