from lymphct.learning.settings import InferenceChoice, InferenceSettings


def test_an_empty_choice_leaves_everything_but_the_library_to_the_bundle() -> None:
    settings = InferenceSettings(mode="box", window_batch=5, mirroring=True)
    assert InferenceChoice(backend=None).applied(settings) == settings
    assert InferenceChoice().applied(settings) == settings.model_copy(update={"backend": "auto"})


def test_a_choice_replaces_what_it_names() -> None:
    chosen = InferenceChoice(backend="openvino", mirroring=False).applied(InferenceSettings(mirroring=True))
    assert chosen == InferenceSettings(backend="openvino")
