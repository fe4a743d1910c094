package require Tclx

proc fail {text} {
    puts stderr $text
    exit 1
}

proc change {} {
    chown {1 1} f
    set file [open f]
    chown -fileid {1 1} $file
    close $file
}

# It has no setgroups.
proc drop {} {
    id groupid 1
    id userid 1
}

switch [lindex $argv 0] {
    chown {
        change
        puts changed
    }
    owner {
        change
        file stat f now
        if {$now(uid) != 1 || $now(gid) != 1} {fail "still $now(uid):$now(gid)"}
        puts 1:1
    }
    drop {
        drop
        if {[id userid] != 1 || [id effective userid] != 1} {fail "still [id userid]"}
        if {[id groupid] != 1 || [id effective groupid] != 1} {fail "group [id groupid]"}
        if {![catch {id userid 0}]} {fail "root again"}
        puts dropped
    }
    default {
        drop
        set child [exec id -u]
        if {$child != 1} {fail "child is $child"}
        puts "child is 1"
    }
}
