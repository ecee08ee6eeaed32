/* A guest with a bug, for a session of gdb at source level (tests/gdb.rs). It is entered in 64-bit mode. */

static volatile long balance;
static volatile long history[8];

__attribute__((noinline)) static long fee_of(long n)
{
    return n % 7 == 3 ? -5 : 2;
}

__attribute__((noinline)) static void book(long amount)
{
    balance += amount;
}

__attribute__((noinline)) static long round_of(long n)
{
    long amount = fee_of(n);
    book(amount);
    return balance;
}

static void out(unsigned short port, unsigned char value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

__attribute__((used)) static void run(void)
{
    for (long n = 0; n < 40; n++)
        history[n % 8] = round_of(n);
    out(0xF4, 0x10);
    for (;;)
        __asm__ volatile("hlt");
}

__asm__(".globl _start\n"
        "_start: mov $0x400000, %rsp\n"
        "        call run\n");
