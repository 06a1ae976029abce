from shown import realistic

from minibert.verification.page import fragment
from minibert.verification.table import table


def test_a_diagnosis_shows_itself():
    found = realistic()
    assert str(found) == repr(found) == table(found)
    assert found._repr_html_() == fragment(found)
    assert found == realistic()
