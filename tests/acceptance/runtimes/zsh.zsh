# The shell's own chown and parameters: no program is started.
zmodload zsh/files
zmodload -F zsh/stat b:zstat

fail() { print -u2 -- $1; exit 1 }

change() {
    zf_chown 1:1 f && zf_chown -h 1:1 l || exit 1
}

# USERNAME sets groups and ids; an assignment that fails says so, and that is all.
drop() {
    USERNAME=daemon
}

case $1 in
chown)
    change
    print changed
    ;;
owner)
    change
    zstat -A now +uid f; zstat -A group +gid f
    [[ $now:$group == 1:1 ]] || fail "still $now:$group"
    print 1:1
    ;;
drop)
    drop
    [[ $UID:$EUID == 1:1 ]] || fail "still $UID"
    [[ $GID:$EGID == 1:1 ]] || fail "group $GID"
    (UID=0) 2>/dev/null && fail 'root again'
    print dropped
    ;;
*)
    drop
    child=$(command id -u)
    [[ $child == 1 ]] || fail "child is $child"
    print child is 1
    ;;
esac
