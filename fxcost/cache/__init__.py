"""Captures on disk, for whoever asks for them: a question that was asked before is answered without torch.

`question` says what decides an answer, `reads` what a model's code reads on the way, `folder` keeps the files, `recall`
puts them together.
"""
