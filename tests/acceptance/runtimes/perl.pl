use strict;
use warnings;
use POSIX ();

sub must { my ($what, $done) = @_; die "$what: $!\n" unless $done }

sub change {
    must('chown', chown(1, 1, 'f') == 1);
    open(my $file, '<', 'f') or die;
    must('fchown', chown(1, 1, $file) == 1);
    must('lchown', POSIX::lchown(1, 1, 'l'));
}

sub drop {
    $! = 0;
    $) = '1 1';
    must('setgroups', !$!);
    must('setgid', POSIX::setgid(1));
    must('setuid', POSIX::setuid(1));
}

my ($mode) = @ARGV;
if ($mode eq 'chown') {
    change();
    print "changed\n";
} elsif ($mode eq 'owner') {
    change();
    my ($uid, $gid) = (stat 'f')[4, 5];
    die "still $uid:$gid\n" unless $uid == 1 && $gid == 1;
    print "1:1\n";
} elsif ($mode eq 'drop') {
    drop();
    die "still $<\n" unless $< == 1 && $> == 1;
    die "groups $( $)\n" unless $( eq '1 1' && $) eq '1 1';
    die "root again\n" if POSIX::setuid(0);
    print "dropped\n";
} else {
    drop();
    chomp(my $child = `id -u`);
    die "child is $child\n" unless $child == 1;
    print "child is 1\n";
}
