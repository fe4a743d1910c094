import os, subprocess, sys, threading


def change():
    os.chown("f", 1, 1)
    with open("f") as file:
        os.fchown(file.fileno(), 1, 1)
    os.lchown("l", 1, 1)


def drop():
    os.setgroups([1])
    os.setgid(1)
    os.setuid(1)


mode = sys.argv[1]
if mode == "chown":
    change()
    print("changed")
elif mode == "owner":
    change()
    now = os.stat("f")
    if (now.st_uid, now.st_gid) != (1, 1):
        sys.exit(f"still {now.st_uid}:{now.st_gid}")
    print("1:1")
elif mode == "drop":
    # A thread that is there already.
    dropped, seen = threading.Event(), []
    thread = threading.Thread(target=lambda: (dropped.wait(), seen.append(os.getuid())))
    thread.start()
    try:
        drop()
    finally:
        dropped.set()
        thread.join()
    if os.getresuid() != (1, 1, 1) or seen != [1]:
        sys.exit(f"still {os.getuid()}, the thread {seen[0]}")
    if os.getresgid() != (1, 1, 1) or os.getgroups() != [1]:
        sys.exit(f"groups {os.getresgid()} {os.getgroups()}")
    try:
        os.setuid(0)
        sys.exit("root again")
    except PermissionError:
        print("dropped")
else:
    drop()
    child = subprocess.check_output(["id", "-u"], text=True).strip()
    if child != "1":
        sys.exit(f"child is {child}")
    print("child is 1")
