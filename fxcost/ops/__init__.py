"""What every operator costs: a registry of rules and one room per family.

`registry` says what a rule is; `conv`, `matmul`, `attention`, `norm`, `pool`, `resample`, `elementwise`, `reduce`,
`movement`, `embedding`, `recurrent`, `loss`, `view` and `factory` hold the rules. What several rooms share lies beside
them: `arithmetic` is the one table of what an elementary operation counts as, `windows` knows which input elements
some window covers, `touched` spells common traffic, `kinds` says what a call is when its arguments decide.

Scratch is what an operator's own composite makes beside its results on the named runtime, as a dispatch-mode run sees
it (pooling indices, a norm's statistics, the scores of unfused attention). Copies that strides force, the steps of
recurrent layers and workspaces inside a kernel are not declared.

A new operator is one decorated function in the room it belongs to, or in the user's own code::

    from fxcost.ops.registry import Call, OpCost, rule

    @rule("mylib.scale_rows")
    def scale_rows(call: Call) -> OpCost:
        '''One multiplication per result element.'''
        return OpCost(other_ops=call.result.numel)
"""
