<?php
function fail(string $text): never { fwrite(STDERR, "$text\n"); exit(1); }

function must(string $what, bool $done): void {
    $error = posix_get_last_error();
    if (!$done) fail("$what: " . ($error ? posix_strerror($error) : error_get_last()['message'] ?? 'refused'));
}

function change(): void {
    must('chown', @chown('f', 1));
    must('chgrp', @chgrp('f', 'daemon'));
    must('lchown', @lchown('l', 1));
    must('lchgrp', @lchgrp('l', 1));
}

function drop(): void {
    must('initgroups', posix_initgroups('daemon', 1));
    must('setgid', posix_setgid(1));
    must('setuid', posix_setuid(1));
}

switch ($argv[1]) {
    case 'chown':
        change();
        echo "changed\n";
        break;
    case 'owner':
        change();
        clearstatcache();
        if ([fileowner('f'), filegroup('f')] !== [1, 1]) fail('still ' . fileowner('f') . ':' . filegroup('f'));
        echo "1:1\n";
        break;
    case 'drop':
        drop();
        if ([posix_getuid(), posix_geteuid()] !== [1, 1]) fail('still ' . posix_getuid());
        $groups = [posix_getgid(), posix_getegid(), ...posix_getgroups()];
        if (array_unique($groups) !== [1]) fail('groups ' . implode(' ', $groups));
        if (posix_setuid(0)) fail('root again');
        echo "dropped\n";
        break;
    default:
        drop();
        $child = trim(shell_exec('id -u'));
        if ($child !== '1') fail("child is $child");
        echo "child is 1\n";
}
