"""Writing on: a word after the other, the likeliest, a drawn one, or the likeliest text of several.

What is written is what transformers writes with the same settings; only random draws are others.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, reduce
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minibert import arguments
from minibert.batch import Batch
from minibert.cache import Cache
from minibert.checkpoint.hub import find_folder
from minibert.checkpoint.layout import GENERATION_NAME
from minibert.models.base import PreTrainedModel
from minibert.models.beams import BeamSearch
from minibert.models.generation_checks import count_of, ends_of, prompts_of, settings_of
from minibert.models.generation_config import GenerationConfig
from minibert.models.outputs import ModelOutput
from minibert.models.processors import log_softmax, steps_of
from minibert.models.seq2seq import EncoderDecoderModel
from minibert.models.texts import Texts
from minibert.runtime import progress as shown
from minibert.runtime.arrays import Array, Integers
from minibert.runtime.threads import in_turn
from minibert.trace import silent


@dataclass(frozen=True, eq=False)
class GenerateOutput(ModelOutput):
    """What generate returns with return_dict_in_generate."""

    sequences: Integers  # (R, T + n)
    sequences_scores: Array | None = None  # (R,), of beams, if output_scores


@dataclass(frozen=True, eq=False)
class Plan:
    """What is to be written: checked."""

    settings: GenerationConfig
    texts: Texts
    prompts: Integers  # (B, T), as they were given
    count: int  # how many words at most
    ends: list[int]
    pad: int
    random: np.random.Generator

    def process(self, words: Integers, scores: Array) -> Array:
        """Change the scores of the next words as the settings say; see processors.py."""
        longest = self.texts.prompt + self.count
        steps = steps_of(self.settings, self.ends, self.texts.prompt, longest)
        scores = reduce(lambda found, step: step(words, found), steps, scores)
        if np.isneginf(scores.max(axis=1)).any():
            raise ValueError(
                "no word is left to go on with: suppress_tokens, bad_words_ids, "
                "no_repeat_ngram_size or min_length forbid all of them"
            )
        return scores

    def written(self) -> Iterator[Integers]:
        """Yield the next word of each text, (R,), until all have ended; ``pad`` where one has."""
        texts = self.texts
        for _ in range(self.count):
            runs, words = texts.running, np.full(len(texts), self.pad)
            words[runs] = self._chosen(self.process(texts.words, texts.next_logits()), runs)
            texts.add(words, runs & ~np.isin(words, self.ends))
            yield words
            if not texts.running.any():
                return

    def _chosen(self, scores: Array, runs: NDArray[np.bool_]) -> Integers:
        """Return a word of each text that runs, by its scores: (n, V) -> (n,)."""
        if self.settings.do_sample:
            sums = np.exp(log_softmax(scores.astype(np.float64))).cumsum(axis=1)
            draws = self.random.random(len(runs))[runs]  # of each text its own, whoever has ended
            scores = sums > (draws * sums[:, -1])[:, None]
        chosen: Integers = scores.argmax(axis=1)
        return chosen

    def searched(self) -> BeamSearch:
        """Return a beam search that has not begun."""
        # as in transformers, where a pad_token_id of 0 counts as none here
        fill = (self.pad or self.ends[0]) if self.ends else -1
        return BeamSearch(self.texts, self.settings, self.ends, self.count, fill, self.random)


class GenerationMixin(PreTrainedModel):
    """Base of the models that write: ``generate`` returns it, ``stream`` gives it word by word.

    ``generation_config`` says how, where a call does not. It comes from generation_config.json, or
    from the model's config, where older checkpoints have its fields.
    """

    further_inputs: ClassVar[tuple[str, ...]] = ()  # that generate takes besides

    @cached_property
    def generation_config(self) -> GenerationConfig:
        """What counts where the arguments of ``generate`` say nothing."""
        return GenerationConfig.from_model_config(self.config)

    @classmethod
    def from_pretrained(cls, name: Any, *given: Any, **options: Any) -> Any:
        """Open a checkpoint; see BertModel.from_pretrained. generation_config.json is read, too."""
        folder, options = find_folder(name, ("config", "weights", "generation"), options)
        model = super().from_pretrained(folder, *given, **options)
        if (folder / GENERATION_NAME).exists():
            vars(model)["generation_config"] = GenerationConfig.from_pretrained(folder)
        return model

    def save_pretrained(self, folder: Any, **options: Any) -> None:
        """Write the checkpoint and generation_config.json; see BertModel.save_pretrained."""
        super().save_pretrained(folder, **options)
        self.generation_config.save_pretrained(Path(folder))

    def next_logits(self, batch: Batch) -> Array:
        """Return a score for each word to come after the last token of each sequence: (n, V)."""
        raise NotImplementedError

    def next_batch(
        self, source: Batch | None, ids: Any, mask: Any, positions: Any, cache: Cache | None
    ) -> Batch:
        """Pack the tokens (B, T) that are run next; mask: of all tokens."""
        return self.batch(ids, mask, position_ids=positions, cache=cache)

    def begun(
        self, input_ids: Any, attention_mask: Any, settings: GenerationConfig, **others: Any
    ) -> tuple[Integers, NDArray[np.bool_], Batch | None]:
        """Return the prompts (B, T), where they are no padding, and what an encoder read."""
        prompts = prompts_of(input_ids, attention_mask, settings, self.config.vocab_size)
        return *prompts, None

    def generate(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        generation_config: GenerationConfig | None = None,
        streamer: Any = None,
        seed: int | None = None,
        progress: bool = False,
        **options: Any,
    ) -> Any:
        """Return the prompts (B, T) and what comes after them, (R, T + n).

        attention_mask: (B, T), 0 at padding, on any side: it is not looked at, and new words come
        behind the last column all the same. None: where there is config.pad_token_id, unless that
        ends texts, too. Without input_ids: a text from bos_token_id.
        options: the fields of GenerationConfig, over those of ``generation_config``, which is the
        model's by default: max_new_tokens (20), do_sample, num_beams, eos_token_id and so on.
        A text that ends before others is filled with pad_token_id, or the end itself.
        streamer: its put() is given the prompts and then each step's words, (R,), its end() is
        called at the end; or a function, called with each step's words. seed: of random draws,
        None: others each time. progress: show how far it is, on a terminal or in a notebook.
        A GenerateOutput if return_dict_in_generate. TypeError or ValueError for what cannot be.
        """
        plan = self._plan(input_ids, attention_mask, generation_config, seed, options)
        times = len(plan.texts) // len(plan.prompts)
        is_search = plan.settings.num_beams > 1
        if is_search and streamer is not None:
            raise ValueError("beams show no words before the search is over: leave streamer out")
        with shown.work("generate") if progress else nullcontext():
            if is_search:
                search, times = plan.searched(), plan.settings.num_return_sequences
                _tell(search.run(plan.process), plan.count)
                words, scores = search.results(times)
            else:
                steps = _streamed(plan, streamer, times)
                words, scores = np.stack([*_tell(steps, plan.count)], axis=1), None
        sequences = np.concatenate([plan.prompts.repeat(times, axis=0), words], axis=1)
        if not plan.settings.return_dict_in_generate:
            return sequences
        return GenerateOutput(sequences, scores if plan.settings.output_scores else None)

    def stream(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        generation_config: GenerationConfig | None = None,
        seed: int | None = None,
        **options: Any,
    ) -> Iterator[Integers]:
        """Return an iterator over the next word of each text, (R,), as they are written.

        The arguments are those of ``generate``, whose words these are. ``tokenizer.decoder()``
        makes text of them, and holds incomplete characters back.
        """
        plan = self._plan(input_ids, attention_mask, generation_config, seed, options)
        if plan.settings.num_beams > 1:
            raise ValueError("beams show no words before the search is over: call generate")
        return plan.written()

    def _plan(
        self, input_ids: Any, attention_mask: Any, given: Any, seed: Any, options: dict[str, Any]
    ) -> Plan:
        config, base = self.config, self.generation_config if given is None else given
        others = {name: options.pop(name) for name in self.further_inputs if name in options}
        settings = settings_of(base, options, seed, config.vocab_size)
        prompts, mask, source = self.begun(input_ids, attention_mask, settings, **others)
        count = count_of(settings, options, prompts, mask, config.max_position_embeddings)
        ends = ends_of(settings)
        pads = (settings.pad_token_id, *ends, 0)
        pad = next(token for token in pads if token is not None)
        times = max(settings.num_beams, settings.num_return_sequences)
        texts = Texts(self, prompts, mask, count, times, settings.use_cache, source)
        random = np.random.default_rng(seed)
        return Plan(settings, texts, prompts, count, ends, pad, random)


class Seq2SeqGenerationMixin(GenerationMixin, EncoderDecoderModel):
    """Base of the models of two stacks that write: the encoder runs once, before the first word.

    ``generate`` reads input_ids, and returns what the decoder writes after decoder_start_token_id,
    or else bos_token_id. It takes decoder_input_ids, too, to begin with, and encoder_outputs.
    """

    further_inputs = ("decoder_input_ids", "encoder_outputs")

    def next_batch(
        self, source: Batch | None, ids: Any, mask: Any, positions: Any, cache: Cache | None
    ) -> Batch:
        """Pack the tokens (B, T) that are run next; mask: of all tokens."""
        is_kept = cache is not None and cache.get_seq_length() > 0
        given = ids, mask, None, positions
        return self.decoder_batch(None if is_kept else source, *given, cache=cache)

    def begun(
        self, input_ids: Any, attention_mask: Any, settings: GenerationConfig, **others: Any
    ) -> tuple[Integers, NDArray[np.bool_], Batch | None]:
        """Return what the decoder begins with, (B, T), that all of it counts, and the source."""
        given, start = others.get("decoder_input_ids"), settings.decoder_start_token_id
        start = settings.bos_token_id if start is None else start
        source = self.source(input_ids, attention_mask, None, others.get("encoder_outputs"))
        if start is None:
            what = "there is no decoder_start_token_id to begin with, and no bos_token_id"
            raise ValueError(f"{what}: pass one of them")
        prompts = np.full((len(source.mask), 1), start)
        if given is not None:
            found = arguments.indices(
                self.further_inputs[0], given, self.config.vocab_size, "vocab_size"
            )
            has_none = (found[:, 0] != start).all()
            prompts = np.insert(found, 0, start, axis=1) if has_none else found
        if source.states is None:
            source = in_turn(self.read, source, silent)
        return prompts, np.ones(prompts.shape, bool), source


def _tell(steps: Iterator[Any], count: int) -> list[Any]:
    """Go through all steps, and tell how far they are."""
    found = []
    for i, step in enumerate(steps):
        shown.progress(f"token {i + 1} of at most {count}")
        found.append(step)
    return found


def _streamed(plan: Plan, streamer: Any, times: int) -> Iterator[Integers]:
    """Yield the words as they come, and hand each step's to a streamer, if there is one."""
    put: Callable[[Integers], object] = getattr(streamer, "put", streamer or (lambda words: None))
    if hasattr(streamer, "put"):
        put(plan.prompts.repeat(times, axis=0))
    try:
        for words in plan.written():
            put(words)
            yield words
    finally:  # Ctrl-C leaves what was written
        getattr(streamer, "end", lambda: None)()
