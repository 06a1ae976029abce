from shown import realistic

from minibert.verification.page import fragment
from minibert.verification.table import table


def test_a_diagnosis_shows_itself():
    found = realistic()
    assert str(found) == table(found)
    assert found._repr_html_() == fragment(found)
    assert repr(found).startswith("Diagnosis(rows=(StageResult(stage='embeddings.sum'")
    assert "token_errors" not in repr(found)
    assert found == realistic()
