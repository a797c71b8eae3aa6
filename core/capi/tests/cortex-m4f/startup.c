/* From reset to main() on a Cortex-M4F, with newlib's semihosting for output and for the end. */
#include <stdint.h>
#include <stdlib.h>

extern uint32_t data_source[], data_begin[], data_end[], bss_begin[], bss_end[], stack_top[];

extern int main(void);
extern void initialise_monitor_handles(void);

void reset(void);
void reset(void) {
    const uint32_t *from = data_source;
    uint32_t *to;
    /* Full access to the floating-point unit, before anything may use it. */
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
    for (to = data_begin; to != data_end; to++, from++) {
        *to = *from;
    }
    for (to = bss_begin; to != bss_end; to++) {
        *to = 0;
    }
    initialise_monitor_handles();
    exit(main());
}

/* Any fault: the end of the program, by SYS_EXIT (ADP_Stopped_RunTimeErrorUnknown). */
static void fault(void) {
    register uint32_t call __asm__("r0") = 0x18;
    register uint32_t reason __asm__("r1") = 0x20023;
    for (;;) {
        __asm__ volatile("bkpt 0xab" : "+r"(call) : "r"(reason) : "memory");
    }
}

/* What exit() calls, and what crti.o, which is not linked, would have had. */
void _init(void);
void _fini(void);
void _init(void) {}
void _fini(void) {}

__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    void (*handlers[15])(void);
} vectors = {stack_top, {reset, fault, fault, fault, fault, fault}};
