"""check: everything is read; what a kernel would stumble over is a problem.

Each kind of finding (`kinds`) has a function that looks for it, in the file of what it looks at. They share a `Survey`
of the medium, and each is linear in it.
"""

from __future__ import annotations

from jffs2tx._ffi import lib
from jffs2tx.errors import FormatError
from jffs2tx.filesystem import FileSystem
from jffs2tx.image import Image
from jffs2tx.ops.check import attributes, blocks, inodes, names, nodes, summaries, versions
from jffs2tx.ops.check.finding import SEVERITIES, Finding, Kind
from jffs2tx.ops.check.kinds import KINDS
from jffs2tx.ops.check.survey import Survey
from jffs2tx.progress import ProgressCallback

__all__ = ["KINDS", "SEVERITIES", "Finding", "Kind", "check"]

CHECKS = (
    blocks.unfinished,
    blocks.bad_blocks,
    blocks.too_few,
    blocks.unreadable_pages,
    blocks.noise,
    blocks.unknown_nodes,
    blocks.forbidding_nodes,
    blocks.hidden_nodes,
    nodes.bad_headers,
    nodes.lengths_that_wrap,
    nodes.bad_nodes,
    nodes.bad_names,
    nodes.bad_data,
    nodes.stale_attributes,
    nodes.crosses_page,
    versions.same_version,
    versions.version_order,
    versions.high_numbers,
    names.lost_names,
    names.impossible_names,
    names.nul_names,
    names.second_names,
    names.wrong_types,
    names.stray_names,
    names.stale_names,
    names.forgotten_names,
    names.unreachable,
    inodes.root_type,
    inodes.inodes,
    attributes.attributes,
    summaries.missing,
    summaries.broken,
    summaries.entries,
)


def check(image: Image, *, progress: ProgressCallback | None) -> dict:
    """Reads every node and every file of an image.

    `problems`: what an error or a warning tells; `notes`: what a sound medium may show. Both are lists of findings
    (Finding.facts), in the order of severity, kind and offset. `unreachable_inodes` are no problem: a kernel leaves
    deleted ones on flash whose bits it cannot clear, and drops them at the next mount.

    Raises FormatError, MediumError.
    """
    with _open(image) as fs:
        survey = Survey(image, fs, progress)
        findings = sorted((finding for look in CHECKS for finding in look(survey)), key=_order)
        return {
            "nodes": survey.node_count,
            "names": survey.name_count,
            "inodes": len(survey.places),
            "unreachable_inodes": len(survey.versions.keys() - survey.places.keys()),
            "transaction": fs.status.state,
            "problems": [finding.facts() for finding in findings if finding.kind.severity != "note"],
            "notes": [finding.facts() for finding in findings if finding.kind.severity == "note"],
        }


def _open(image: Image) -> FileSystem:
    """Also where a node or a summary forbids the mount: that is a finding. Raises FormatError (no node is good),
    MediumError.
    """
    try:
        return image.fs()
    except FormatError:
        fs = image.fs(inspect=True)
        nodes = lib.jx_fs_nodes(fs.handle)
        if all(nodes[i].verdict != lib.JX_V_GOOD for i in range(lib.jx_fs_node_count(fs.handle))):
            fs.close()
            raise
        return fs


def _order(finding: Finding) -> tuple:
    kind = finding.kind
    return SEVERITIES.index(kind.severity), KINDS.index(kind), finding.offset or 0, finding.path or b"", finding.text
