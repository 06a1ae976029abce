"""Grading one function of a student's, in place of one of ours."""

from minibert.grading.grader import grade
from minibert.grading.result import Grade

__all__ = ["Grade", "grade"]
