"""Which part of the ledger each slot's bytes belong to."""

from __future__ import annotations

from rnngraph.planning.program import Program


def categories(program: Program) -> tuple[str, ...]:
    """For each slot one of `program.CATEGORIES`.

    What is handed to the user is "outputs" or "gradients". What a forward step writes and a backward step reads
    is "saved". All else that is made on the way is "workspace".
    """
    found = ["workspace"] * len(program.slots)
    for slot in saved(program):
        found[slot] = "saved"
    for name, ref in program.outputs.items():
        if name.startswith("grad:"):
            found[ref.slot] = "gradients"
    for name, ref in program.outputs.items():
        if not name.startswith("grad:"):
            found[ref.slot] = "outputs"
    for slot in program.inputs.values():
        found[slot] = "inputs"
    for slot in program.weights.values():
        found[slot] = "parameters"
    return tuple(found)


def saved(program: Program) -> set[int]:
    """The slots that a forward step writes and a backward step reads."""
    forward, backward = set[int](), set[int]()
    for step in program.steps:
        if step.node.origin.backward:
            backward.update(ref.slot for ref in step.ins)
        else:
            forward.update(ref.slot for ref in step.outs)
    constant = {slot for _, slot in program.constants}
    return (forward & backward) - constant
