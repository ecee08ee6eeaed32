/* Work of many kinds, for comparing the speed of emulators with each other and with hardware.
 *
 *   kernels [NAME...]       runs the kernels named, or all, in the order of the table below
 *
 * Around each it prints "bench: NAME begin" and "bench: NAME end CHECKSUM". The checksum depends on
 * every result, so that a wrong machine shows, and so that a compiler cannot leave the work out.
 * Nothing in here looks at a clock: whoever reads the lines takes the time between them.
 */
#define _GNU_SOURCE
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEEP(x) __asm__ volatile("" : : "r"(x) : "memory")

static uint64_t random_state;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static uint64_t mix(uint64_t sum, uint64_t value)
{
    return (sum ^ value) * UINT64_C(0x9E3779B97F4A7C15) + (sum >> 29);
}

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* ---- integers ---- */

static uint64_t sieve(void)
{
    enum { SIZE = 2000000 };
    unsigned char *composite = calloc(SIZE, 1);
    uint64_t sum = 0;
    for (int round = 0; round < 6; round++) {
        memset(composite, 0, SIZE);
        for (int i = 2; i * i < SIZE; i++)
            if (!composite[i])
                for (int k = i * i; k < SIZE; k += i)
                    composite[k] = 1;
        for (int i = 2; i < SIZE; i++)
            sum += composite[i] ? 0 : (uint64_t)i;
    }
    free(composite);
    return sum;
}

static uint64_t crc_table(void)
{
    static uint32_t table[256];
    static unsigned char data[1 << 16];
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t c = n;
        for (int k = 0; k < 8; k++)
            c = c & 1 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
        table[n] = c;
    }
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)next_random();
    uint32_t crc = ~0u;
    for (int round = 0; round < 200; round++)
        for (size_t i = 0; i < sizeof data; i++)
            crc = table[(crc ^ data[i]) & 255] ^ (crc >> 8);
    return ~crc;
}

static uint32_t rotate_right(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

/* The compression function of SHA-256 (FIPS 180-4, 6.2.2), with constants from cube roots. */
static uint64_t sha256(void)
{
    uint32_t constants[64], state[8], w[64];
    for (int n = 0, prime = 2; n < 64; prime++) {
        int divisor = 2;
        while (divisor * divisor <= prime && prime % divisor)
            divisor++;
        if (divisor * divisor > prime) {
            double root = cbrt(prime);
            constants[n++] = (uint32_t)((root - floor(root)) * 4294967296.0);
        }
    }
    for (int k = 0; k < 8; k++)
        state[k] = (uint32_t)next_random();
    for (int block = 0; block < 80000; block++) {
        for (int t = 0; t < 16; t++)
            w[t] = (uint32_t)(block * 16 + t) * 2654435761u;
        for (int t = 16; t < 64; t++) {
            uint32_t a = w[t - 15], b = w[t - 2];
            w[t] = w[t - 16] + w[t - 7] + (rotate_right(a, 7) ^ rotate_right(a, 18) ^ a >> 3)
                + (rotate_right(b, 17) ^ rotate_right(b, 19) ^ b >> 10);
        }
        uint32_t v[8];
        memcpy(v, state, sizeof v);
        for (int t = 0; t < 64; t++) {
            uint32_t s1 = rotate_right(v[4], 6) ^ rotate_right(v[4], 11) ^ rotate_right(v[4], 25);
            uint32_t t1 = v[7] + s1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + constants[t] + w[t];
            uint32_t s0 = rotate_right(v[0], 2) ^ rotate_right(v[0], 13) ^ rotate_right(v[0], 22);
            uint32_t t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
            memmove(v + 1, v, 7 * sizeof *v);
            v[4] += t1;
            v[0] = t1 + t2;
        }
        for (int k = 0; k < 8; k++)
            state[k] += v[k];
    }
    uint64_t sum = 0;
    for (int k = 0; k < 8; k++)
        sum = mix(sum, state[k]);
    return sum;
}

static int compare_integers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t sorting(void)
{
    enum { COUNT = 200000 };
    uint64_t *numbers = malloc(COUNT * sizeof *numbers), sum = 0;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < COUNT; i++)
            numbers[i] = next_random();
        qsort(numbers, COUNT, sizeof *numbers, compare_integers);
        for (int i = 0; i < COUNT; i += 1000)
            sum = mix(sum, numbers[i]);
    }
    free(numbers);
    return sum;
}

static uint64_t pointer_chase(void)
{
    enum { NODES = 1 << 14 };
    static uint32_t next[NODES];
    for (uint32_t i = 0; i < NODES; i++)
        next[i] = i;
    for (uint32_t i = NODES - 1; i > 0; i--) {
        uint32_t k = (uint32_t)(next_random() % i), swap = next[i];
        next[i] = next[k];
        next[k] = swap;
    }
    uint32_t at = 0;
    for (int step = 0; step < 8000000; step++)
        at = next[at];
    return at;
}

struct tree {
    struct tree *left, *right;
    uint64_t key;
};

static struct tree *grow(int depth)
{
    struct tree *node = malloc(sizeof *node);
    node->key = next_random();
    node->left = depth > 0 ? grow(depth - 1) : NULL;
    node->right = depth > 0 ? grow(depth - 1) : NULL;
    return node;
}

static uint64_t fell(struct tree *node)
{
    if (!node)
        return 1;
    uint64_t sum = mix(fell(node->left), node->key) ^ fell(node->right);
    free(node);
    return sum;
}

static uint64_t allocation_trees(void)
{
    uint64_t sum = 0;
    for (int round = 0; round < 24; round++)
        sum = mix(sum, fell(grow(14)));
    return sum;
}

#define OPERATION(name, expression) \
    static __attribute__((noinline)) uint64_t name(uint64_t a, uint64_t b) { return expression; }
OPERATION(op_add, a + b)
OPERATION(op_sub, a - b)
OPERATION(op_xor, a ^ b)
OPERATION(op_mul, a * (b | 1))
OPERATION(op_div, a / (b | 1))
OPERATION(op_rot, a << (b & 31) | a >> (-b & 31))
OPERATION(op_and, a & ~b)
OPERATION(op_max, a > b ? a : b)

static uint64_t indirect_calls(void)
{
    static uint64_t (*const operations[8])(uint64_t, uint64_t)
        = { op_add, op_sub, op_xor, op_mul, op_div, op_rot, op_and, op_max };
    uint64_t a = 1, b = 12345;
    for (int n = 0; n < 5000000; n++) {
        b = b * UINT64_C(6364136223846793005) + 1442695040888963407u;
        a = operations[b >> 61](a, b);
    }
    return a;
}

/* A stack machine: one switch, taken for every instruction of its program. */
static uint64_t switch_interpreter(void)
{
    static const unsigned char program[] = { 0, 7, 1, 3, 0, 2, 4, 5, 1, 6, 2, 0, 3, 5, 8 };
    uint64_t stack[4] = { 1, 2, 3, 4 }, count = 0;
    for (size_t pc = 0; count < 20000000; count++) {
        switch (program[pc++]) {
        case 0: stack[0] += stack[1]; break;
        case 1: stack[1] ^= stack[2] >> 3; break;
        case 2: stack[2] += count; break;
        case 3: stack[3] -= stack[0]; break;
        case 4: stack[0] = stack[0] << 7 | stack[0] >> 57; break;
        case 5: stack[1] *= 3; break;
        case 6: if (stack[2] & 1) pc++; break;
        case 7: stack[3] = ~stack[3]; break;
        default: pc = 0;
        }
    }
    return stack[0] ^ stack[1] ^ stack[2] ^ stack[3];
}

/* ---- floating point ---- */

static uint64_t matrix(void)
{
    enum { N = 160 };
    static double a[N][N], b[N][N], c[N][N];
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++) {
            a[i][k] = (double)(next_random() % 1000) / 999.0;
            b[i][k] = (double)(next_random() % 1000) / 997.0;
        }
    for (int round = 0; round < 12; round++) {
        for (int i = 0; i < N; i++)
            for (int k = 0; k < N; k++) {
                double sum = 0;
                for (int n = 0; n < N; n++)
                    sum += a[i][n] * b[n][k];
                c[i][k] = sum;
            }
        for (int i = 0; i < N; i++)
            a[i][i] = c[i][N - 1 - i] / N;
    }
    uint64_t sum = 0;
    for (int i = 0; i < N; i++)
        sum = mix(sum, bits_of(c[i][i]));
    return sum;
}

static uint64_t n_body(void)
{
    enum { BODIES = 5 };
    double x[BODIES][3], v[BODIES][3], m[BODIES];
    for (int i = 0; i < BODIES; i++) {
        m[i] = 1.0 + i;
        for (int k = 0; k < 3; k++) {
            x[i][k] = (double)(next_random() % 1000) / 50.0;
            v[i][k] = (double)(next_random() % 1000) / 5000.0;
        }
    }
    for (int step = 0; step < 400000; step++) {
        for (int i = 0; i < BODIES; i++)
            for (int j = i + 1; j < BODIES; j++) {
                double d[3], square = 1e-3;
                for (int k = 0; k < 3; k++) {
                    d[k] = x[i][k] - x[j][k];
                    square += d[k] * d[k];
                }
                double pull = 1e-4 / (square * sqrt(square));
                for (int k = 0; k < 3; k++) {
                    v[i][k] -= d[k] * m[j] * pull;
                    v[j][k] += d[k] * m[i] * pull;
                }
            }
        for (int i = 0; i < BODIES; i++)
            for (int k = 0; k < 3; k++)
                x[i][k] += 1e-4 * v[i][k];
    }
    return mix(bits_of(x[0][0]), bits_of(x[4][2]));
}

static uint64_t float_filter(void)
{
    enum { SAMPLES = 4096 };
    static float in[SAMPLES], out[SAMPLES];
    for (int i = 0; i < SAMPLES; i++)
        in[i] = (float)(next_random() % 2000) / 1000.0f - 1.0f;
    for (int round = 0; round < 1200; round++) {
        float low = 0.0f, band = 0.0f;
        for (int i = 0; i < SAMPLES; i++) {
            low += 0.2f * band;
            band += 0.2f * (in[i] - low - 0.9f * band);
            out[i] = low;
        }
        for (int i = 0; i < SAMPLES; i++)
            in[i] = 0.3f * (in[i] + out[SAMPLES - 1 - i]);
    }
    double sum = 0;
    for (int i = 0; i < SAMPLES; i++)
        sum += out[i];
    return bits_of(sum);
}

static uint64_t x87(void)
{
    long double x = 0.5L, sum = 0.0L;
    for (int n = 1; n < 3000000; n++) {
        x = 3.57L * x * (1.0L - x);
        sum += x / (long double)n;
        KEEP(&x);
    }
    return bits_of((double)sum);
}

/* ---- memory ---- */

static uint64_t copy_and_scan(void)
{
    enum { SIZE = 1 << 16 };
    static char from[SIZE], to[SIZE];
    memset(from, 'x', SIZE - 1);
    uint64_t sum = 0;
    for (int round = 0; round < 2000; round++) {
        size_t length = 64 + next_random() % (SIZE - 128);
        memcpy(to, from, length);
        to[length] = 0;
        sum += strlen(to) + (memcmp(to, from, length) == 0);
        KEEP(to);
    }
    return sum;
}

/* ---- the kernel's work ---- */

static uint64_t system_calls(void)
{
    uint64_t sum = 0;
    for (int n = 0; n < 200000; n++)
        sum += syscall(SYS_getppid) >= 0;
    return sum;
}

static uint64_t page_faults(void)
{
    uint64_t sum = 0;
    for (int round = 0; round < 25; round++) {
        size_t size = 1 << 22;
        unsigned char *memory
            = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            return 0;
        for (size_t at = 0; at < size; at += 4096)
            memory[at] = (unsigned char)at | 1;
        for (size_t at = 0; at < size; at += 4096)
            sum += memory[at];
        munmap(memory, size);
    }
    return sum;
}

static uint64_t forks(void)
{
    uint64_t sum = 0;
    for (int n = 0; n < 250; n++) {
        int status = 0;
        pid_t child = fork();
        if (child == 0)
            _exit(n & 127);
        if (child < 0 || waitpid(child, &status, 0) != child)
            return 0;
        sum = mix(sum, (uint64_t)WEXITSTATUS(status));
    }
    return sum;
}

static uint64_t pipe_ping_pong(void)
{
    int there[2], back[2];
    if (pipe(there) || pipe(back))
        return 0;
    pid_t child = fork();
    unsigned char byte = 0;
    if (child == 0) {
        close(there[1]);
        while (read(there[0], &byte, 1) == 1) {
            byte = (unsigned char)(byte * 5 + 1);
            if (write(back[1], &byte, 1) != 1)
                break;
        }
        _exit(0);
    }
    uint64_t sum = 0;
    for (int n = 0; n < 10000; n++) {
        if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
            return 0;
        sum = mix(sum, byte);
    }
    close(there[1]);
    waitpid(child, NULL, 0);
    return sum;
}

static const struct {
    const char *name;
    uint64_t (*run)(void);
} kernels[] = {
    { "sieve", sieve },
    { "crc", crc_table },
    { "sha256", sha256 },
    { "sort", sorting },
    { "pointer-chase", pointer_chase },
    { "trees", allocation_trees },
    { "indirect-calls", indirect_calls },
    { "switch", switch_interpreter },
    { "matrix", matrix },
    { "n-body", n_body },
    { "float-filter", float_filter },
    { "x87", x87 },
    { "copy-scan", copy_and_scan },
    { "system-calls", system_calls },
    { "page-faults", page_faults },
    { "fork", forks },
    { "ping-pong", pipe_ping_pong },
};

static int wanted(const char *name, int count, char **names)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return 1;
    return count == 0;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++) {
        if (!wanted(kernels[k].name, argc - 1, argv + 1))
            continue;
        random_state = UINT64_C(88172645463325252);
        printf("bench: %s begin\n", kernels[k].name);
        uint64_t sum = kernels[k].run();
        printf("bench: %s end %016llx\n", kernels[k].name, (unsigned long long)sum);
    }
    return 0;
}
