package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

func must(what string, err error) {
	if err != nil {
		fail(fmt.Sprintf("%s: %v", what, err))
	}
}

func fail(text string) {
	fmt.Fprintln(os.Stderr, text)
	os.Exit(1)
}

func change() {
	must("chown", os.Chown("f", 1, 1))
	file, err := os.Open("f")
	must("open", err)
	must("fchown", file.Chown(1, 1))
	must("lchown", os.Lchown("l", 1, 1))
}

func drop() {
	must("setgroups", syscall.Setgroups([]int{1}))
	must("setgid", syscall.Setgid(1))
	must("setuid", syscall.Setuid(1))
}

func main() {
	switch os.Args[1] {
	case "chown":
		change()
		fmt.Println("changed")
	case "owner":
		change()
		info, err := os.Stat("f")
		must("stat", err)
		if now := info.Sys().(*syscall.Stat_t); now.Uid != 1 || now.Gid != 1 {
			fail(fmt.Sprintf("still %d:%d", now.Uid, now.Gid))
		}
		fmt.Println("1:1")
	case "drop":
		// A thread that is there already.
		dropped, seen, ready := make(chan bool), make(chan int), make(chan bool)
		go func() {
			runtime.LockOSThread()
			ready <- true
			<-dropped
			seen <- syscall.Getuid()
		}()
		<-ready
		drop()
		dropped <- true
		thread := <-seen
		if syscall.Getuid() != 1 || syscall.Geteuid() != 1 || thread != 1 {
			fail(fmt.Sprintf("still %d, the thread %d", syscall.Getuid(), thread))
		}
		groups, err := syscall.Getgroups()
		must("getgroups", err)
		if syscall.Getgid() != 1 || syscall.Getegid() != 1 || len(groups) != 1 || groups[0] != 1 {
			fail(fmt.Sprintf("groups %d %v", syscall.Getgid(), groups))
		}
		if syscall.Setuid(0) == nil {
			fail("root again")
		}
		fmt.Println("dropped")
	default:
		drop()
		child, err := exec.Command("id", "-u").Output()
		must("id", err)
		if uid := strings.TrimSpace(string(child)); uid != "1" {
			fail("child is " + uid)
		}
		fmt.Println("child is 1")
	}
}
