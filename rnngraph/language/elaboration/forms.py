"""Every file with a form of expression, a statement or functions of its own: whoever imports this has filled the
registries."""

from __future__ import annotations

from rnngraph.language.builtins import families
from rnngraph.language.elaboration import assignments, calls, indexing, instantiation, loops, name_resolution, operators

FORMS = (assignments, calls, families, indexing, instantiation, name_resolution, loops, operators)
