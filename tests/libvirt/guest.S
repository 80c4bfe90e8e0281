/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The test domains' guest: a BIOS of 64 KiB that sleeps until the ACPI power button is pressed, and then powers off.
 *
 * So a domain is up at once and costs no CPU, `virsh shutdown` ends it as any well-behaved guest would, and it needs
 * no disk to boot from: what a guest writes is written by QEMU on request (guest_io in lib.sh).
 * It knows the i440fx machine: the power management of the PIIX4 is PCI function 00:01.3, its interrupt is 9. The processor must have no local APIC (a 486), for that would keep interrupts
 * away until a BIOS had set it up.
 */
	.code16
	.set PM_BASE, 0x600 /* event status, +2: event enable, +4: control */
	.set POWER_BUTTON, 0x0100
	.set SOFT_OFF, 0x2000

start:
	cli
	xorw %ax, %ax
	movw %ax, %ds
	movw %ax, %ss
	movw $0x7000, %sp

	/* Interrupt 9 is vector 0x71; all others but the cascade (2) are masked. */
	movw $power_button, 0x71 * 4
	movw %cs, 0x71 * 4 + 2
	movb $0x11, %al
	outb %al, $0x20
	outb %al, $0xa0
	movb $0x08, %al
	outb %al, $0x21
	movb $0x70, %al
	outb %al, $0xa1
	movb $0x04, %al
	outb %al, $0x21
	movb $0x02, %al
	outb %al, $0xa1
	movb $0x01, %al
	outb %al, $0x21
	outb %al, $0xa1
	movb $0xfb, %al
	outb %al, $0x21
	movb $0xfd, %al
	outb %al, $0xa1

	/* Where the power management's registers are, and that they answer. */
	movl $0x80000b40, %eax
	movl $(PM_BASE | 1), %ebx
	call write_pci
	movl $0x80000b80, %eax
	movl $1, %ebx
	call write_pci
	movw $POWER_BUTTON, %ax
	movw $(PM_BASE + 2), %dx
	outw %ax, %dx
	sti
sleep:
	hlt
	jmp sleep

power_button:
	movw $SOFT_OFF, %ax
	movw $(PM_BASE + 4), %dx
	outw %ax, %dx
	iret

write_pci:
	movw $0xcf8, %dx
	outl %eax, %dx
	movw $0xcfc, %dx
	movl %ebx, %eax
	outl %eax, %dx
	ret

	/* Where the processor begins. */
	.org 0xfff0
	ljmp $0xf000, $start
	.org 0x10000
