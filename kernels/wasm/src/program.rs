//! The interpreter. A program is words: instruction count, then per instruction
//! `[op, words after this pair, argument count, argument slots.., parameters..]`. The table holds (address, bytes) per slot.

use crate::layout::{check, FAILED};
use crate::ops;
use crate::team::Team;

/// A program and the table of its values.
pub struct Program {
    /// Encoded instructions.
    pub words: *const u32,
    /// (address, bytes) per slot.
    pub table: *const [u32; 2],
}

/// One decoded instruction.
pub struct Instr<'a> {
    /// Op code.
    pub op: u32,
    args: &'a [u32],
    params: &'a [u32],
    table: *const [u32; 2],
}

impl Instr<'_> {
    fn entry(&self, i: usize) -> [u32; 2] {
        match self.args[i] {
            u32::MAX => [0, 0],
            slot => unsafe { *self.table.add(slot as usize) },
        }
    }
    /// Address of operand i, null if absent.
    pub fn ptr<T>(&self, i: usize) -> *mut T {
        self.entry(i)[0] as *mut T
    }
    /// Bytes of operand i.
    pub fn bytes(&self, i: usize) -> usize {
        self.entry(i)[1] as usize
    }
    /// Was operand i given?
    pub fn has(&self, i: usize) -> bool {
        self.args[i] != u32::MAX
    }
    /// Operands, absent ones too.
    pub fn operands(&self) -> usize {
        self.args.len()
    }
    /// Do operands i and j share no byte?
    pub fn apart(&self, i: usize, j: usize) -> bool {
        let ([a, a_bytes], [b, b_bytes]) = (self.entry(i), self.entry(j));
        a as u64 + a_bytes as u64 <= b as u64 || b as u64 + b_bytes as u64 <= a as u64
    }
    /// Parameter i as a count.
    pub fn u(&self, i: usize) -> usize {
        self.params[i] as usize
    }
    /// Parameter i as a number.
    pub fn f(&self, i: usize) -> f32 {
        f32::from_bits(self.params[i])
    }
}

/// Runs a program. A last barrier lets no thread leave before all have: the caller may publish the next run at once, and a
/// helper that still had to start this one would take that for it.
pub unsafe fn run_program(program: &Program, team: &Team) -> u32 {
    let status = run_all(program, team);
    if team.barrier() { status } else { FAILED }
}

/// Runs all instructions with a barrier after every phase, but where the next instruction may start at once. Every thread checks every
/// instruction, on data that is at rest, so all stop at the same one.
unsafe fn run_all(program: &Program, team: &Team) -> u32 {
    let count = *program.words;
    let mut at = program.words.add(1);
    for index in 0..count {
        let instr = decode(at, program.table);
        let code = check(&instr);
        if code != 0 {
            return code | index << 8;
        }
        at = at.add(2 + *at.add(1) as usize);
        let phases = ops::phases(&instr);
        for phase in 0..phases {
            ops::run(&instr, phase, team);
            let flows = phase + 1 == phases && index + 1 < count && ops::overlaps(&instr, &decode(at, program.table));
            if !flows && !team.barrier() {
                return FAILED;
            }
        }
    }
    0
}

/// The instruction whose words begin at `at`.
unsafe fn decode<'a>(at: *const u32, table: *const [u32; 2]) -> Instr<'a> {
    let (op, size, args) = (*at, *at.add(1) as usize, *at.add(2) as usize);
    let body = core::slice::from_raw_parts(at.add(3), size - 1);
    Instr { op, args: &body[..args], params: &body[args..], table }
}
