# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a server's numbers of studies, series and instances are believed."""
import pytest

from trytond.modules.health_orthanc.sync.balance import Balance


def settled(present, remote=None, looks=1):
    "Return the balance that a run of full comparison leaves."
    balance = Balance()
    balance.forget()
    for _ in range(looks):
        balance.present = present
        balance.settle(remote or present)
    return balance


@pytest.mark.parametrize('text', [
        None, '', 'x', '1 2 3', '1 2 3 0 0 0', '1 2 3 0 0 0 1'])
def test_unfinished_run_leaves_doubt(text):
    balance = Balance(text)
    assert balance.doubtful and balance.present is None
    assert not balance.agrees((0, 0, 0))
    balance.present = (1, 2, 3)
    assert not balance.agrees((1, 2, 3))
    assert str(balance) == ''


def test_what_agrees_is_kept():
    balance = Balance(str(settled((5, 10, 300))))
    assert balance.present == (5, 10, 300)
    assert balance.agrees((5, 10, 300))
    assert not balance.agrees((5, 10, 299))
    balance.add([1, 2, -3])
    assert balance.agrees((6, 12, 297))


def test_excess_is_believed_after_a_second_look():
    first = settled((5, 10, 300), (5, 10, 301))
    balance = Balance(str(first))
    assert not balance.agrees((5, 10, 301))
    balance.settle((5, 10, 301))
    balance = Balance(str(balance))
    assert balance.agrees((5, 10, 301))
    balance.add([1, 1, 1])
    assert balance.agrees((6, 11, 302))
    assert not balance.agrees((6, 11, 303))


def test_excess_that_went_is_forgotten():
    balance = Balance(str(settled((5, 10, 300), (5, 10, 301), looks=2)))
    assert balance.agrees((5, 10, 300))
    assert not balance.agrees((5, 10, 301))


def test_server_without_studies():
    balance = Balance(str(settled((5, 10, 300), (0, 0, 0), looks=2)))
    assert balance.agrees((0, 0, 0)) and balance.is_emptied()
    assert not balance.is_whole()
    assert not balance.agrees((5, 10, 301))
    assert balance.agrees((5, 10, 300))
    assert not balance.is_emptied() and balance.is_whole()
    assert not settled((0, 0, 0)).is_emptied()


def test_server_that_is_not_empty_any_more():
    balance = settled((5, 10, 300), (0, 0, 0), looks=3)
    balance.add([1, 1, 1])
    assert not balance.agrees((1, 1, 1))


def test_what_is_hidden_is_looked_for_each_time():
    balance = settled((3, 6, 12), (5, 10, 20), looks=2)
    balance.hidden = 2
    balance = Balance(str(balance))
    assert (balance.hidden, balance.counted) == (2, (5, 10, 20))
    assert balance.is_believed((5, 10, 20))
    assert not balance.agrees((5, 10, 20)) and not balance.is_whole()


def test_nothing_is_counted_while_numbers_are_not_known():
    balance = Balance()
    balance.forget()
    balance.add([1, 1, 1])
    assert balance.present is None and not balance.doubtful
