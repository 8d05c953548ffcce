"""Runs nbgrader in a course's folder, or prints its points.

usage: grading.py MEMORY nbgrader ARGUMENT...
       grading.py MEMORY points

MEMORY is how many bytes a process may have, of this one and of all that it starts.
"""

import json
import resource
import sys

from nbgrader.api import Gradebook


def limit(memory):
    """Nothing that is started from here on has more; what does not get memory ends by itself."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def points():
    """For every submission, the points of each cell; none where people have not given them yet."""
    with Gradebook("sqlite:///gradebook.db") as gradebook:
        submissions = [
            submission for assignment in gradebook.assignments for submission in assignment.submissions
        ]
        return [
            {
                "student": submission.student.id,
                "notebook": submission.assignment.name,
                "cells": {grade.name: score(grade) for notebook in submission.notebooks for grade in notebook.grades},
            }
            for submission in submissions
        ]


def score(grade):
    return None if grade.needs_manual_grade else grade.score


def main(memory, what, *arguments):
    limit(int(memory))
    if what == "points":
        return print(json.dumps(points()))
    from nbgrader.apps.nbgraderapp import NbGraderApp

    NbGraderApp.launch_instance(argv=list(arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
