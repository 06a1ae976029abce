"""Grading one function of a student's, in place of one of ours."""

from minibert.grading.result import Grade
from minibert.grading.run import grade

__all__ = ["Grade", "grade"]
