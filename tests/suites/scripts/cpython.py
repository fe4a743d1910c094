"""cpython.py TEST: one line for each test of a module of CPython's test suite."""

import sys
import unittest


class Result(unittest.TestResult):
    def say(self, verdict, test, why=""):
        print(verdict, test.id().removeprefix("test."), why.strip().splitlines()[-1] if why else "", flush=True)

    def addSuccess(self, test):
        self.say("ok", test)

    def addExpectedFailure(self, test, error):
        self.say("ok", test)

    def addSkip(self, test, reason):
        self.say("skip", test)

    def addFailure(self, test, error):
        self.failed(test, error)

    def addError(self, test, error):
        self.failed(test, error)

    def addUnexpectedSuccess(self, test):
        self.say("not ok", test, "unexpected success")

    def addSubTest(self, test, subtest, error):
        if error:
            self.failed(test, error)

    def failed(self, test, error):
        print(self._exc_info_to_string(error, test), flush=True)
        self.say("not ok", test, repr(error[1]))


unittest.defaultTestLoader.loadTestsFromName("test." + sys.argv[1]).run(Result())
