/* A program without any C library: its entry, and a system call of five arguments, for every ABI of the matrix. The result is a value from 0
 * up, or -errno. */

#if defined(__x86_64__) /* x32 as well: its calls carry their bit in the number */

__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start");
static long sys5(long nr, long a, long b, long c, long d, long e)
{
	/* x32's addresses are extended with zeros. */
	register long long rax __asm__("rax") = nr, rdi __asm__("rdi") = (unsigned long)a, rsi __asm__("rsi") = (unsigned long)b,
	      rdx __asm__("rdx") = (unsigned long)c, r10 __asm__("r10") = (unsigned long)d, r8 __asm__("r8") = (unsigned long)e;
	__asm__ volatile("syscall" : "+r"(rax) : "r"(rdi), "r"(rsi), "r"(rdx), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
	return rax;
}

#elif defined(__i386__)

__asm__(".globl _start\n_start:\n\tmov %esp, %eax\n\tand $-16, %esp\n\tsub $12, %esp\n\tpush %eax\n\tcall start");
static long sys5(long nr, long a, long b, long c, long d, long e)
{
	__asm__ volatile("int $0x80" : "+a"(nr) : "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory");
	return nr;
}

#elif defined(__aarch64__)

__asm__(".globl _start\n_start:\n\tmov x0, sp\n\tbl start");
static long sys5(long nr, long a, long b, long c, long d, long e)
{
	register long x8 __asm__("x8") = nr, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c, x3 __asm__("x3") = d,
	     x4 __asm__("x4") = e;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
	return x0;
}

#elif defined(__arm__)

__asm__(".globl _start\n_start:\n\tmov r0, sp\n\tbic sp, sp, #7\n\tbl start");
static long sys5(long nr, long a, long b, long c, long d, long e)
{
	register long r7 __asm__("r7") = nr, r0 __asm__("r0") = a, r1 __asm__("r1") = b, r2 __asm__("r2") = c, r3 __asm__("r3") = d,
	     r4 __asm__("r4") = e;
	__asm__ volatile("svc 0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2), "r"(r3), "r"(r4) : "memory");
	return r0;
}

#elif defined(__powerpc64__)

/* r2 is the table of contents, which the kernel leaves to us to find: r12 is where we were entered. */
__asm__(".globl _start\n_start:\n\taddis 2, 12, .TOC.-_start@ha\n\taddi 2, 2, .TOC.-_start@l\n\tmr 3, 1\n\tclrrdi 1, 1, 4\n\tstdu 1, -128(1)\n\tbl start\n\tnop");
static long sys5(long nr, long a, long b, long c, long d, long e)
{
	register long r0 __asm__("r0") = nr, r3 __asm__("r3") = a, r4 __asm__("r4") = b, r5 __asm__("r5") = c, r6 __asm__("r6") = d,
	     r7 __asm__("r7") = e;
	__asm__ volatile("sc\n\tbns+ 1f\n\tneg %1, %1\n1:"
			 : "+r"(r0), "+r"(r3), "+r"(r4), "+r"(r5), "+r"(r6), "+r"(r7)
			 :
			 : "memory", "cr0", "ctr", "r8", "r9", "r10", "r11", "r12");
	return r3;
}

#elif defined(__s390__) /* s390x as well */

#ifdef __s390x__
__asm__(".globl _start\n_start:\n\tlgr %r2, %r15\n\taghi %r15, -160\n\tbrasl %r14, start");
#else
__asm__(".globl _start\n_start:\n\tlr %r2, %r15\n\tahi %r15, -96\n\tbras %r14, start");
#endif
static long sys5(long nr, long a, long b, long c, long d, long e)
{
	register long r1 __asm__("1") = nr, r2 __asm__("2") = a, r3 __asm__("3") = b, r4 __asm__("4") = c, r5 __asm__("5") = d,
	     r6 __asm__("6") = e;
	__asm__ volatile("svc 0" : "+d"(r2) : "d"(r1), "d"(r3), "d"(r4), "d"(r5), "d"(r6) : "memory");
	return r2;
}

#elif defined(__riscv)

__asm__(".globl _start\n_start:\n\tmv a0, sp\n\tandi sp, sp, -16\n\tcall start");
static long sys5(long nr, long a, long b, long c, long d, long e)
{
	register long a7 __asm__("a7") = nr, a0 __asm__("a0") = a, a1 __asm__("a1") = b, a2 __asm__("a2") = c, a3 __asm__("a3") = d,
	     a4 __asm__("a4") = e;
	__asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4) : "memory");
	return a0;
}

#elif defined(__loongarch64)

__asm__(".globl _start\n_start:\n\tmove $a0, $sp\n\tbl start");
static long sys5(long nr, long a, long b, long c, long d, long e)
{
	register long a7 __asm__("$a7") = nr, a0 __asm__("$a0") = a, a1 __asm__("$a1") = b, a2 __asm__("$a2") = c, a3 __asm__("$a3") = d,
	     a4 __asm__("$a4") = e;
	__asm__ volatile("syscall 0"
			 : "+r"(a0)
			 : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4)
			 : "memory", "$t0", "$t1", "$t2", "$t3", "$t4", "$t5", "$t6", "$t7", "$t8");
	return a0;
}

#elif defined(__mips__) /* an error is told by $7; o32 has the fifth argument on the stack */

#if _MIPS_SIM == _ABI64
#define ADD "daddiu"
#else
#define ADD "addiu"
#endif
__asm__(".globl _start\n.ent _start\n_start:\n\t.set noreorder\n\tmove $4, $29\n\tjal start\n\t" ADD " $29, $29, -64\n\t.set reorder\n.end _start");
static long sys5(long nr, long a, long b, long c, long d, long e)
{
	register long v0 __asm__("$2") = nr, a0 __asm__("$4") = a, a1 __asm__("$5") = b, a2 __asm__("$6") = c, a3 __asm__("$7") = d,
	     a4 __asm__("$8") = e;
#if _MIPS_SIM == _ABIO32
	__asm__ volatile("addiu $29, $29, -32\n\tsw $8, 16($29)\n\tsyscall\n\taddiu $29, $29, 32"
#else
	__asm__ volatile("syscall"
#endif
			 : "+r"(v0), "+r"(a3), "+r"(a4)
			 : "r"(a0), "r"(a1), "r"(a2)
			 : "memory", "$1", "$3", "$9", "$10", "$11", "$12", "$13", "$14", "$15", "$24", "$25");
	return a3 ? -v0 : v0;
}

#else
#error "no such ABI"
#endif
